import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { checkedTraceState, parseTraceparent, TraceStarter } from '../../../src/telemetry/trace-context.ts'

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const SPAN = 'b7ad6b7169203331'
const PARENT = `00-${TRACE}-${SPAN}-01`

function starter(options: Partial<ConstructorParameters<typeof TraceStarter>[0]> = {}): TraceStarter {
  return new TraceStarter({ isOn: true, sample: 0, random: () => 0.5, ...options })
}

describe('parseTraceparent', () => {
  it('reads ids and the sampled flag, of versions to come the first four fields', () => {
    assert.deepEqual(parseTraceparent(PARENT), { traceId: TRACE, spanId: SPAN, isSampled: true })
    assert.equal(parseTraceparent(`00-${TRACE}-${SPAN}-02`)?.isSampled, false)
    assert.equal(parseTraceparent(` 00-${TRACE}-${SPAN}-03 `)?.isSampled, true)
    assert.equal(parseTraceparent(`cc-${TRACE}-${SPAN}-01-what-comes`)?.traceId, TRACE)
    assert.equal(parseTraceparent(`cc-${TRACE}-${SPAN}-01`)?.spanId, SPAN)
  })

  it('refuses what the recommendation calls invalid', () => {
    const zeros = '0'.repeat(32)
    for (const text of [
      '',
      'x',
      `ff-${TRACE}-${SPAN}-01`,
      `00-${zeros}-${SPAN}-01`,
      `00-${TRACE}-${'0'.repeat(16)}-01`,
      `00-${TRACE.toUpperCase()}-${SPAN}-01`,
      `00-${TRACE}-${SPAN}-1`,
      `00-${TRACE}-${SPAN}-01-more`,
      `00-${TRACE}-${SPAN}`,
      `00-${TRACE}0-${SPAN}-01`,
      `cc-${TRACE}-${SPAN}-01more`,
      `${PARENT}, ${PARENT}`,
    ])
      assert.equal(parseTraceparent(text), undefined, text)
  })
})

describe('checkedTraceState', () => {
  it('keeps up to 32 members and drops a list that breaks the rules', () => {
    assert.equal(
      checkedTraceState('rojo=00f067aa0ba902b7, congo=t61rcWkgMzE,'),
      'rojo=00f067aa0ba902b7,congo=t61rcWkgMzE',
    )
    assert.equal(checkedTraceState('acme@vendor=a b'), 'acme@vendor=a b')
    const many = (count: number) => Array.from({ length: count }, (_, i) => `k${i}=v`).join(',')
    assert.equal(checkedTraceState(many(32)), many(32))
    for (const text of ['', ',', many(33), 'a=1,a=2', 'A=1', 'a', 'a=', 'a=b=c', `a=${'x'.repeat(257)}`, 'a=\u00e9'])
      assert.equal(checkedTraceState(text), undefined, text)
  })
})

describe('TraceStarter', () => {
  it("goes on with the caller's trace and keeps to its decision", () => {
    const own = starter().begin(PARENT, 'rojo=1')
    assert.deepEqual(
      { ...own, spanId: '' },
      { traceId: TRACE, spanId: '', parentSpanId: SPAN, traceState: 'rojo=1', isSampled: true },
    )
    assert.match(own?.spanId ?? '', /^[0-9a-f]{16}$/)
    assert.notEqual(own?.spanId, SPAN)
    assert.equal(starter({ sample: 1 }).begin(`00-${TRACE}-${SPAN}-00`, undefined)?.isSampled, false)
  })

  it('begins a trace of its own where the header is invalid, and drops its tracestate', () => {
    const own = starter({ sample: 1 }).begin('nonsense', 'rojo=1')
    assert.ok(own !== undefined && own.traceId !== TRACE && own.isSampled)
    assert.deepEqual([own.parentSpanId, own.traceState], [undefined, undefined])
  })

  it('begins as many as it is told to', () => {
    assert.equal(starter({ sample: 0.5 }).begin(undefined, undefined), undefined)
    assert.equal(starter({ sample: 0.51 }).begin(undefined, undefined)?.isSampled, true)
  })

  it("only tells of the caller's trace when nothing is exported", () => {
    const off = starter({ isOn: false, sample: 1 })
    assert.equal(off.begin(undefined, undefined), undefined)
    assert.deepEqual(off.begin(PARENT, undefined)?.isSampled, false)
    assert.equal(off.adopt(PARENT)?.traceId, TRACE)
    assert.equal(off.adopt(undefined), undefined)
  })
})
