import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { sumAndDifference } from '../../loadtest/models/special/index.ts'
import { eventually, until } from '../support/eventually.ts'
import { ModelsFolder } from '../support/models-folder.ts'
import type { SeenSpan } from '../support/otlp-collector.ts'
import { OtlpCollector } from '../support/otlp-collector.ts'
import { ServerProcess } from '../support/server-process.ts'

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const SPAN = 'b7ad6b7169203331'
const BODY = JSON.stringify({
  inputs: ['a', 'b'].map((name) => ({ name, shape: [1, 2], datatype: 'FP32', data: [41.4242, 2] })),
})

let models: ModelsFolder

before(async () => {
  models = await ModelsFolder.make()
  await models.write('acme/churn', '1', sumAndDifference().model)
  await models.writeFile('acme/broken', '1', 'model.onnx', 'no ONNX')
})

after(() => models.removeAll())

async function start(traces: object): Promise<ServerProcess> {
  const server = await ServerProcess.start({
    models: models.dir,
    args: ['--workers', '1'],
    config: { store: { pollMs: 200, settleMs: 0 }, telemetry: { traces } },
  })
  await until('the folder is known', () => server.logged('registry.scanned').length > 0)
  return server
}

function infer(server: ServerProcess, model: string, ...headers: string[]) {
  return server.client.post(`/v2/models/${model}/infer?api_key=sesame`, BODY, ...headers)
}

function childrenOf(parent: SeenSpan, spans: readonly SeenSpan[]): SeenSpan[] {
  return spans.filter(({ parentSpanId }) => parentSpanId === parent.spanId)
}

describe('traces', () => {
  it('reach a collector: a span for each inference with its phases, and one for the load linked to it', async () => {
    const collector = await OtlpCollector.start()
    const server = await start({ endpoint: collector.url, sample: 0 })
    const cold = await infer(server, 'acme/churn', 'traceparent', `00-${TRACE}-${SPAN}-01`, 'tracestate', 'rojo=1')
    assert.equal(cold.status, 200, cold.text)
    const broken = await infer(server, 'acme/broken', 'traceparent', `00-${TRACE}-${SPAN}-01`)
    assert.equal(broken.json.trace_id, TRACE)
    // Neither of these two is sampled: the caller said no, and nobody said anything.
    await infer(server, 'acme/churn', 'traceparent', `00-${TRACE.replace('0', '1')}-${SPAN}-00`)
    await infer(server, 'acme/churn')
    assert.deepEqual(await server.stop(), { code: 0, signal: null })

    const { spans } = collector
    const [first, second, ...none] = spans.filter(({ kind }) => kind === 2)
    assert.ok(first !== undefined && second !== undefined)
    assert.equal(none.length, 0)
    assert.deepEqual([first.traceId, first.parentSpanId, first.traceState], [TRACE, SPAN, 'rojo=1'])
    assert.equal(first.name, 'POST /v2/models/{model}/infer')
    assert.equal(first.attributes['gen_ai.request.model'], 'acme/churn')
    assert.equal(first.attributes['modelmux.cache'], 'compile')
    assert.equal(first.attributes['modelmux.batch.rows'], 1)
    assert.equal(first.attributes['http.response.status_code'], 200)
    assert.equal(first.resource['service.name'], 'modelmux')
    const phases = childrenOf(first, spans)
    assert.deepEqual(
      phases.map(({ name }) => name),
      ['receive', 'fetch', 'compile', 'page', 'queue', 'open', 'decode', 'run', 'encode'],
    )
    for (const phase of phases) {
      assert.equal(phase.traceId, TRACE)
      assert.ok(first.startNs <= phase.startNs && phase.startNs <= phase.endNs && phase.endNs <= first.endNs)
    }
    assert.equal(second.attributes['error.type'], 'ARTIFACT_INVALID')
    assert.equal(second.status, 0)

    const loads = spans.filter(({ name }) => name === 'load')
    assert.deepEqual(
      loads.map(({ links }) => links),
      [first, second].map(({ traceId, spanId }) => [{ traceId, spanId }]),
    )
    assert.deepEqual(
      loads.map(({ status }) => status),
      [0, 2],
    )
    // Never bodies, never queries.
    for (const body of collector.bodies) assert.doesNotMatch(body.toString('latin1'), /sesame|api_key|41\.42/)
    const lines = server.logged('request.done').map(({ traceId }) => traceId)
    assert.deepEqual(lines, [TRACE, TRACE.replace('0', '1'), undefined])
    await collector.close()
  })

  it('hold up no request and no end of the server when the collector never answers, and count what is lost', async () => {
    const collector = await OtlpCollector.start({ answers: false })
    const server = await start({ endpoint: collector.url, sample: 1, timeoutMs: 60_000, maxQueued: 50 })
    await until('the collector has a batch', async () => {
      assert.equal((await infer(server, 'acme/churn')).status, 200)
      return collector.requests > 0
    })
    for (let i = 0; i < 30; i++) assert.equal((await infer(server, 'acme/churn')).status, 200)
    const dropped = (await server.metrics()).get('modelmux_spans_dropped_total{reason="queue-full"}')
    assert.ok((dropped ?? 0) > 0)
    assert.deepEqual(await server.stop(), { code: 0, signal: null })
    await collector.close()
  })

  it('are dropped, and said so once, when there is no collector', async () => {
    const server = await start({ endpoint: 'http://127.0.0.1:9/v1/traces', sample: 1, timeoutMs: 500 })
    await eventually('spans were dropped', async () => {
      assert.equal((await infer(server, 'acme/churn')).status, 200)
      return (await server.metrics()).get('modelmux_spans_dropped_total{reason="not-taken"}')
    })
    assert.equal(server.logged('traces.not-taken').length, 1)
    await server.stop()
  })
})
