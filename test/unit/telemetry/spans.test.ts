import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { resourceFromAttributes } from '@opentelemetry/resources'
import type { ReadableSpan } from '@opentelemetry/sdk-trace'
import { finishedSpan, hrTime } from '../../../src/telemetry/finished-span.ts'
import { LoadSpans } from '../../../src/telemetry/load-spans.ts'
import { layPhases, requestSpans } from '../../../src/telemetry/request-spans.ts'
import type { SpanQueueOptions, SpanSink } from '../../../src/telemetry/span-queue.ts'
import { SpanQueue } from '../../../src/telemetry/span-queue.ts'
import { ManualClock, settle } from '../../support/manual-clock.ts'

const resource = resourceFromAttributes({ 'service.name': 'modelmux' })
const IDS = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331' }

function span(): ReadableSpan {
  return finishedSpan({ ...IDS, name: 'x', startMs: 0, endMs: 1, resource })
}

describe('layPhases', () => {
  it('lays the load from the start and the rest back from the end, inside the request and without overlap', () => {
    const parts = layPhases({ page: 5, queue: 2, run: 3, encode: 1 }, 1, 1000, 1020)
    assert.deepEqual(parts, [
      { name: 'receive', startMs: 1000, endMs: 1001 },
      { name: 'page', startMs: 1001, endMs: 1006 },
      { name: 'queue', startMs: 1014, endMs: 1016 },
      { name: 'run', startMs: 1016, endMs: 1019 },
      { name: 'encode', startMs: 1019, endMs: 1020 },
    ])
    for (const timings of [{ compile: 50 }, { run: 50 }, { fetch: 8, compile: 8, queue: 8, run: 8 }]) {
      let at = 1000
      for (const { startMs, endMs } of layPhases(timings, undefined, 1000, 1020)) {
        assert.ok(startMs >= at && endMs >= startMs && endMs <= 1020)
        at = endMs
      }
    }
  })
})

describe('requestSpans', () => {
  it('says what was asked and what became of it, and nothing of the URL or the body', () => {
    const [server, ...children] = requestSpans(
      {
        requestId: 'r-1',
        method: 'POST',
        route: '/v2/models/{model}/infer',
        status: 503,
        code: 'OVERLOADED',
        model: 'acme/churn',
        version: '7',
        cache: 'hit',
        timings: { run: 2 },
        batchRows: 4,
        bytesIn: 10,
        bytesOut: 20,
        durationMs: 5,
      },
      { ...IDS, parentSpanId: '00f067aa0ba902b7', traceState: 'rojo=1', isSampled: true },
      2000,
      resource,
    )
    assert.equal(server?.name, 'POST /v2/models/{model}/infer')
    assert.deepEqual(server.attributes, {
      'http.request.method': 'POST',
      'http.route': '/v2/models/{model}/infer',
      'http.response.status_code': 503,
      'http.request.body.size': 10,
      'http.response.body.size': 20,
      'url.scheme': 'http',
      'modelmux.request_id': 'r-1',
      'error.type': 'OVERLOADED',
      'gen_ai.request.model': 'acme/churn',
      'modelmux.model.version': '7',
      'modelmux.cache': 'hit',
      'modelmux.batch.rows': 4,
    })
    assert.deepEqual([server.startTime, server.endTime], [hrTime(1995), hrTime(2000)])
    assert.equal(server.parentSpanContext?.isRemote, true)
    assert.equal(server.status.code, 2)
    assert.deepEqual(
      children.map(({ name, parentSpanContext }) => [name, parentSpanContext?.spanId]),
      [['run', IDS.spanId]],
    )
  })
})

describe('hrTime', () => {
  it('splits milliseconds without ever reaching a whole second of nanoseconds', () => {
    assert.deepEqual(hrTime(1500.25), [1, 500_250_000])
    assert.deepEqual(hrTime(1999.9999999), [1, 999_999_999])
  })
})

describe('LoadSpans', () => {
  function loads(sample = 0) {
    const clock = new ManualClock()
    const added: ReadableSpan[][] = []
    const queue = { add: (spans: readonly ReadableSpan[]) => void added.push([...spans]) }
    return { clock, added, spans: new LoadSpans({ queue, clock, resource, sample, random: () => 0.5 }) }
  }
  const ENDED = { key: 'm:1#a', model: 'm', version: '1', timings: { compile: 30, page: 5 } }

  it('links a load to the sampled requests that waited, from the first of them on, once', () => {
    const { clock, added, spans } = loads()
    spans.waits('m:1#a', IDS)
    clock.tick(40)
    spans.waits('m:1#a', { ...IDS, spanId: '00f067aa0ba902b7' })
    spans.ended(ENDED)
    spans.ended(ENDED)
    assert.equal(added.length, 1)
    const [load, ...parts] = added[0] ?? []
    assert.deepEqual(
      load?.links.map(({ context }) => context.spanId),
      [IDS.spanId, '00f067aa0ba902b7'],
    )
    assert.notEqual(load.spanContext().traceId, IDS.traceId)
    assert.deepEqual(load.duration, hrTime(40))
    assert.deepEqual(
      parts.map(({ name }) => name),
      ['compile', 'page'],
    )
  })

  it('samples what nobody waited for, bounds its links, and marks a failure', () => {
    const { added, spans } = loads(0.6)
    for (let i = 0; i < 1000; i++) spans.waits('m:1#a', IDS)
    spans.ended({ ...ENDED, code: 'ARTIFACT_INVALID' })
    spans.ended({ ...ENDED, key: 'other:1#b' })
    assert.equal(added.length, 2)
    assert.equal(added[0]?.[0]?.links.length, 128)
    assert.equal(added[0]?.[0]?.attributes['error.type'], 'ARTIFACT_INVALID')
    assert.equal(added[0]?.[0]?.status.code, 2)
  })
})

type Done = Parameters<SpanSink['export']>[1]

describe('SpanQueue', () => {
  function open(options: Partial<SpanQueueOptions> = {}) {
    const clock = new ManualClock()
    const events: string[] = []
    const drops: string[] = []
    const exports: { spans: ReadableSpan[]; done: Done }[] = []
    const sink: SpanSink = {
      export: (spans, done) => void exports.push({ spans, done }),
      shutdown: () => new Promise(() => undefined),
    }
    const queue = new SpanQueue({
      sink,
      clock,
      log: { event: (name) => void events.push(name) },
      maxQueued: 1000,
      onDropped: (count, reason) => void drops.push(`${count} ${reason}`),
      ...options,
    })
    const add = (count: number) => queue.add(Array.from({ length: count }, span))
    return { clock, events, drops, exports, queue, add }
  }

  it('gathers what comes within a second, and sends one batch at a time', async () => {
    const { clock, exports, add } = open()
    add(3)
    await clock.advance(500)
    add(2)
    assert.equal(exports.length, 0)
    await clock.advance(500)
    assert.equal(exports[0]?.spans.length, 5)
    for (let i = 0; i < 10; i++) add(60)
    await clock.advance(5000)
    assert.equal(exports.length, 1)
    exports[0].done({ code: 0 })
    await clock.advance(0)
    assert.equal(exports[1]?.spans.length, 256)
  })

  it('drops whole groups when it is full, and counts them', async () => {
    const { clock, drops, exports, add } = open({ maxQueued: 10 })
    add(8)
    add(3)
    add(2)
    assert.deepEqual(drops, ['3 queue-full'])
    await clock.advance(1000)
    assert.equal(exports[0]?.spans.length, 10)
  })

  it('counts what is not taken, says so once, and says when it is taken again', async () => {
    const { clock, drops, events, exports, add } = open()
    for (const code of [1, 1, 0, 0]) {
      add(2)
      await clock.advance(1000)
      exports.at(-1)?.done({ code })
      await settle()
    }
    assert.deepEqual(drops, ['2 not-taken', '2 not-taken'])
    assert.deepEqual(events, ['traces.not-taken', 'traces.recovered'])
  })

  it('counts a sink that throws as one that takes nothing', async () => {
    const { clock, drops, add } = open({
      sink: {
        export: () => {
          throw new Error('no')
        },
        shutdown: () => Promise.resolve(),
      },
    })
    add(2)
    await clock.advance(1000)
    assert.deepEqual(drops, ['2 not-taken'])
  })

  it('sends what waits when it closes, and waits no longer than it is told for a collector that never answers', async () => {
    const { clock, drops, exports, queue, add } = open()
    add(300)
    const closed = queue.close(2000)
    await settle()
    assert.equal(exports[0]?.spans.length, 256)
    exports[0].done({ code: 0 })
    await settle()
    assert.equal(exports[1]?.spans.length, 44)
    add(1)
    await clock.advance(2000)
    await closed
    await queue.close(2000)
    assert.deepEqual(drops, ['1 queue-full'])
    assert.equal(clock.pendingTimers, 0)
  })
})
