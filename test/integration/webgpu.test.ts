import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { modelBytes, Rng } from '../../loadtest/models/index.ts'
import { growing, HALF_FAMILY, SMALL_FAMILIES } from '../../loadtest/models/special/index.ts'
import { until } from '../support/eventually.ts'
import { assertOutputs, infer } from '../support/infer-client.ts'
import { runModel } from '../support/models/run-model.ts'
import { ModelsFolder } from '../support/models-folder.ts'
import { ServerProcess } from '../support/server-process.ts'
import { requireVulkan, skipWithoutWebGpu } from '../support/vulkan.ts'

/** Devices round otherwise than the CPU does. */
const TOLERANCE = 1e-3
const [LAYERS] = SMALL_FAMILIES
/** A renderer in software takes seconds to compile the kernels of a model, on a busy machine many. */
const PATIENT = { server: { deadlineMs: 300_000 }, artifact: { checkMs: 300_000, compileDeadlineMs: 600_000 } }
/** Room for one of the small families, not for two. */
const TIGHT = { device: { memoryBytes: 6 * 2 ** 20 } }

describe('a server on WebGPU', { skip: skipWithoutWebGpu }, () => {
  let models: ModelsFolder
  let cache: string
  let server: ServerProcess
  const rng = new Rng('webgpu')

  before(async () => {
    models = await ModelsFolder.make()
    cache = await mkdtemp(join(tmpdir(), 'modelmux-devices-'))
    for (const { name, build } of SMALL_FAMILIES) await models.write(`acme/${name}`, '1', build(1))
    await models.write('acme/growing', '1', growing())
    await models.write('acme/halves', '1', HALF_FAMILY.build(1))
    // The probe's findings are logged for those who look closely.
    server = await serve('webgpu', { telemetry: { logLevel: 'debug' } })
  })

  after(async () => {
    await server.stop()
    await models.removeAll()
    await rm(cache, { recursive: true, force: true })
  })

  async function serve(device: string, config: object = {}): Promise<ServerProcess> {
    const started = await ServerProcess.start({
      models: models.dir,
      cache,
      args: ['--device', device],
      env: requireVulkan(),
      config: { ...PATIENT, store: { pollMs: 200, settleMs: 0 }, ...config },
    })
    await until('the folder is known', async () => {
      const { models: names } = (await started.client.get('/v2/models')).json
      return (names as readonly string[]).length === SMALL_FAMILIES.length + 2
    })
    return started
  }

  it('says what it runs on, with one worker', async () => {
    const [chosen] = server.logged('device.chosen')
    assert.deepEqual([chosen?.device, chosen?.wanted, chosen?.reason], ['webgpu', 'webgpu', 'asked for'])
    const metrics = await server.metrics()
    assert.ok(
      [...metrics.keys()].some((name) => name.startsWith('modelmux_build_info') && name.includes('device="webgpu"')),
    )
    assert.equal(server.logged('worker.up').length, 1)
  })

  for (const { name, build, inputs } of SMALL_FAMILIES) {
    it(`gives the CPU's answers for ${name}, before and after it was unloaded`, async () => {
      const bytes = modelBytes(build(1))
      const given = inputs(rng, 3)
      assertOutputs(await infer(server.client, `acme/${name}`, given), await runModel(bytes, given), TOLERANCE)
      const unloaded = await server.client.post(`/v2/repository/models/acme%2F${name}/unload`, '{}')
      assert.equal(unloaded.status, 200, unloaded.text)
      const again = inputs(rng, 3)
      assertOutputs(await infer(server.client, `acme/${name}`, again), await runModel(bytes, again), TOLERANCE)
    })
  }

  it('stacks requests of a model that the probe found safe, and each gets its own answer', async () => {
    assert.ok(LAYERS !== undefined)
    const [probed] = await Promise.all([
      server.logs('artifact.probed', ({ isBatchSafe }) => isBatchSafe === true),
      infer(server.client, 'acme/layers', LAYERS.inputs(rng, 1)),
    ])
    assert.equal(typeof probed.runMs, 'number')
    const bytes = modelBytes(LAYERS.build(1))
    const asked = await Promise.all(
      Array.from({ length: 24 }, async () => {
        const inputs = LAYERS.inputs(rng, 1)
        return { inputs, answer: await infer(server.client, 'acme/layers', inputs) }
      }),
    )
    for (const { inputs, answer } of asked) assertOutputs(answer, await runModel(bytes, inputs), TOLERANCE)
  })

  it('refuses a tensor that is larger than the GPU takes, and goes on', async () => {
    const count = (value: bigint) => [
      { name: 'count', datatype: 'INT64' as const, shape: [1], data: BigInt64Array.of(value) },
    ]
    await infer(server.client, 'acme/growing', count(4n))
    const answer = await infer(server.client, 'acme/growing', count(2n ** 29n))
    assert.deepEqual([answer.status, answer.json.code], [507, 'CAPACITY_EXHAUSTED'], answer.text)
    assert.match(answer.text, /a tensor of \d+ bytes is larger than the GPU takes/)
    const again = await infer(server.client, 'acme/growing', count(8n))
    assert.deepEqual((again.json.outputs as { data: number[] }[])[0]?.data, [2])
    assert.equal(server.logged('worker.down').length, 0)
  })

  it('runs half precision as the CPU does, or refuses the model because its GPU has none', async () => {
    const given = HALF_FAMILY.inputs(rng, 2)
    const answer = await infer(server.client, 'acme/halves', given)
    if (answer.status === 200) {
      const [expected] = await runModel(modelBytes(HALF_FAMILY.build(1)), given)
      const values = (answer.json.outputs as { data: number[] }[])[0]?.data
      assert.deepEqual(expected?.shape, [2, values === undefined ? 0 : values.length / 2])
    } else {
      assert.deepEqual([answer.status, answer.json.code], [422, 'ARTIFACT_INVALID'], answer.text)
      assert.match(answer.text, /runs on the CPU and not on webgpu: .*f16/)
    }
  })

  it('makes artifacts of its own: a server on the CPU does not take them, and neither takes the other away', async () => {
    await server.stop()
    const before = compiledOn(server)
    assert.equal(before.length, SMALL_FAMILIES.length + 1)
    const cpu = await serve('cpu')
    try {
      for (const { name, build, inputs } of SMALL_FAMILIES) {
        const given = inputs(rng, 2)
        const answer = await infer(cpu.client, `acme/${name}`, given)
        assertOutputs(answer, await runModel(modelBytes(build(1)), given), TOLERANCE)
        assert.equal(answer.headers['x-modelmux-cache'], 'compile')
      }
    } finally {
      await cpu.stop()
    }
    assert.equal(new Set([...before, ...compiledOn(cpu)]).size, 2 * SMALL_FAMILIES.length + 1)
    server = await serve('webgpu', TIGHT)
    assert.ok(LAYERS !== undefined)
    const answer = await infer(server.client, `acme/${LAYERS.name}`, LAYERS.inputs(rng, 1))
    assert.equal(answer.headers['x-modelmux-cache'], 'load')
  })

  it('closes one model for another where the GPU has no room for both, and forgets neither', async () => {
    // Those whose kernels a renderer in software compiles fast.
    const quick = SMALL_FAMILIES.filter(({ name }) => name === 'layers' || name === 'recurrence')
    const models = [...quick, ...quick]
    for (const { name, build, inputs } of models) {
      const given = inputs(rng, 1)
      const answer = await infer(server.client, `acme/${name}`, given)
      assertOutputs(answer, await runModel(modelBytes(build(1)), given), TOLERANCE)
    }
    const metrics = await server.metrics()
    assert.ok((metrics.get('modelmux_evictions_total{reason="device"}') ?? 0) >= models.length - 1)
    assert.equal(metrics.get('modelmux_models_resident'), quick.length)
    const open = metrics.get('modelmux_device_bytes{kind="open"}') ?? Number.NaN
    assert.ok(open > 0 && open <= (metrics.get('modelmux_device_budget_bytes') ?? 0))
    assert.equal(metrics.get('modelmux_device_up'), 1)
  })

  it('tells of each model what it takes of the GPU', async () => {
    const { json } = await server.client.get(`/v2/models/acme%2F${SMALL_FAMILIES.at(-1)?.name}/stats`)
    const [stats] = json.model_stats as { memory_usage: { type: string; byte_size: number }[] }[]
    const onGpu = stats?.memory_usage.find(({ type }) => type === 'GPU')
    assert.ok((onGpu?.byte_size ?? 0) > 4 * 2 ** 20)
  })
})

function compiledOn(server: ServerProcess): unknown[] {
  return server.logged('artifact.compiled').map(({ artifact }) => artifact)
}
