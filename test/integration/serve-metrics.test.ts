import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { sumAndDifference } from '../../loadtest/models/special/index.ts'
import { METRICS } from '../../src/telemetry/metric-table.ts'
import { until } from '../support/eventually.ts'
import { ModelsFolder } from '../support/models-folder.ts'
import { ServerProcess } from '../support/server-process.ts'

/** What only a GPU has, and a fleet that shares what it compiles. */
const OF_OTHERS = /^modelmux_(?:device|fleet_cache)_/
/** Counters of what need not happen: their label sets come with their first event. */
const MAY_BE_ABSENT: ReadonlySet<string> = new Set([
  'modelmux_evictions_total',
  'modelmux_worker_restarts_total',
  'modelmux_spans_dropped_total',
  'modelmux_strikes_total',
  'modelmux_suspects_total',
])

let models: ModelsFolder
let server: ServerProcess

before(async () => {
  models = await ModelsFolder.make()
  await models.write('plain', '1', sumAndDifference().model)
  await models.writeFile('broken', '1', 'model.onnx', 'no ONNX')
  server = await ServerProcess.start({
    models: models.dir,
    args: ['--workers', '1'],
    config: { store: { pollMs: 200, settleMs: 0 }, telemetry: { perModelMetrics: 1 } },
  })
})

after(async () => {
  await server.stop()
  await models.removeAll()
})

describe('the metrics of a server', () => {
  it('have a sample for each row of their table once a request was answered and one was refused', async () => {
    const inputs = ['a', 'b'].map((name) => ({
      name,
      shape: [1, 2],
      datatype: 'FP32',
      data: [1, 2],
    }))
    await until('the folder is known', async () => server.logged('registry.scanned').length > 0)
    const answer = await server.client.post('/v2/models/plain/infer', JSON.stringify({ inputs }))
    assert.equal(answer.status, 200, answer.text)
    const refusal = await server.client.post('/v2/models/broken/infer', JSON.stringify({ inputs }))
    assert.equal(refusal.status, 422, refusal.text)

    const samples = await server.metrics()
    const names = new Set([...samples.keys()].map((name) => name.replace(/\{.*/, '')))
    const missing = Object.entries(METRICS)
      .filter(([name, { type }]) => !names.has(type === 'histogram' ? `${name}_count` : name))
      .map(([name]) => name)
    assert.deepEqual(
      missing.filter((name) => !MAY_BE_ABSENT.has(name) && !OF_OTHERS.test(name)),
      [],
    )
    assert.equal(samples.get('modelmux_model_requests_total{model="plain"}'), 1)
    assert.equal(samples.get('modelmux_model_cold_starts_total{model="plain"}'), 1)
    assert.equal(samples.get('modelmux_model_errors_total{model="other"}'), 1)
    assert.equal(samples.get('modelmux_compiles_total{outcome="compiled"}'), 1)
    assert.equal(samples.get('modelmux_compiles_total{outcome="ARTIFACT_INVALID"}'), 1)
    assert.ok((samples.get('modelmux_registry_scan_seconds{prefix=""}') ?? 0) > 0)
  })
})
