import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ModelMetrics } from '../../../src/telemetry/model-metrics.ts'
import type { RequestSummary } from '../../../src/telemetry/request-summary.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { seededRandom } from '../../support/seeded-random.ts'

const DONE: RequestSummary = {
  requestId: 'r',
  method: 'POST',
  route: '/v2/infer',
  status: 200,
  version: '1',
  cache: 'hit',
  bytesIn: 0,
  bytesOut: 0,
  durationMs: 500,
}

function open(max: number) {
  const clock = new ManualClock()
  const metrics = new ModelMetrics({ max, clock })
  const ask = (model: string, times = 1, more: Partial<RequestSummary> = {}) => {
    for (let i = 0; i < times; i++) metrics.requestDone({ ...DONE, model, ...more })
  }
  const read = () => Object.fromEntries(metrics.read().map(([model, { requests }]) => [model, requests]))
  const nextWindow = () => {
    clock.tick(60_000)
    return read()
  }
  return { clock, metrics, ask, read, nextWindow }
}

describe('ModelMetrics', () => {
  it('gives labels to the first and shares one among the rest', () => {
    const { ask, read, metrics } = open(2)
    ask('a', 3)
    ask('b', 1, { status: 500, code: 'INFERENCE_FAILED' })
    ask('c', 2, { cache: 'compile' })
    assert.deepEqual(read(), { a: 3, b: 1, other: 2 })
    const [a, b, other] = metrics.read().map(([, sums]) => sums)
    assert.deepEqual([a?.seconds, b?.errors, other?.coldStarts], [1.5, 1, 2])
  })

  it('moves a label once a minute to a model asked for more than twice as often, and not for less', () => {
    const { ask, read, nextWindow } = open(2)
    ask('a', 100)
    ask('b', 10)
    ask('c', 20)
    assert.deepEqual(nextWindow(), { a: 100, b: 10, other: 20 })
    ask('b', 10)
    ask('c', 21)
    assert.deepEqual(read(), { a: 100, b: 20, other: 41 })
    // `a` was not asked for at all in this minute: it is the one to go.
    assert.deepEqual(nextWindow(), { b: 20, c: 0, other: 141 })
  })

  it('takes callers inventions for no models', () => {
    const { ask, read } = open(2)
    ask('x', 5, { status: 404, code: 'MODEL_NOT_FOUND' })
    assert.deepEqual(read(), { other: 0 })
  })

  it('leaves no series of a model that is gone, and loses nothing that was counted', () => {
    const { ask, read, metrics } = open(1)
    ask('a', 5)
    metrics.forget('a')
    ask('b', 1)
    assert.deepEqual(read(), { b: 1, other: 5 })
  })

  it('never has more labels than it may, changes few at a time, and never lets a sum or a kept series fall', () => {
    const random = seededRandom(7)
    const { ask, nextWindow, metrics } = open(20)
    let before: Record<string, number> = {}
    for (let minute = 0; minute < 200; minute++) {
      const shift = Math.floor(minute / 5) * 3
      for (let i = 0; i < 300; i++) ask(`m-${shift + Math.floor(random() ** 2 * 60)}`)
      if (random() < 0.1) metrics.forget(`m-${shift}`)
      const now = nextWindow()
      assert.ok(Object.keys(now).length <= 21)
      const fresh = Object.keys(now).filter((model) => !(model in before) && (now[model] ?? 0) === 0)
      assert.ok(fresh.length <= 2)
      const sum = Object.values(now).reduce((a, b) => a + b, 0)
      assert.equal(sum, (minute + 1) * 300)
      for (const [model, count] of Object.entries(before)) assert.ok((now[model] ?? count) >= count, model)
      before = now
    }
  })
})
