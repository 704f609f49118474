import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { modelBytes, Rng } from '../../loadtest/models/index.ts'
import { SMALL_FAMILIES } from '../../loadtest/models/special/index.ts'
import { until } from '../support/eventually.ts'
import { assertOutputs, infer } from '../support/infer-client.ts'
import { runModel } from '../support/models/run-model.ts'
import { ModelsFolder } from '../support/models-folder.ts'
import { ServerProcess } from '../support/server-process.ts'
import { requireVulkan, skipWithoutWebGpu } from '../support/vulkan.ts'

/** Devices round otherwise than the CPU does. */
const TOLERANCE = 1e-3

describe('a server on WebGPU', { skip: skipWithoutWebGpu }, () => {
  let models: ModelsFolder
  let cache: string
  let server: ServerProcess
  const rng = new Rng('webgpu')

  before(async () => {
    models = await ModelsFolder.make()
    cache = await mkdtemp(join(tmpdir(), 'modelmux-devices-'))
    for (const { name, build } of SMALL_FAMILIES) await models.write(`acme/${name}`, '1', build(1))
    server = await serve('webgpu')
  })

  after(async () => {
    await server.stop()
    await models.removeAll()
    await rm(cache, { recursive: true, force: true })
  })

  async function serve(device: string): Promise<ServerProcess> {
    const started = await ServerProcess.start({
      models: models.dir,
      cache,
      args: ['--device', device],
      env: requireVulkan(),
      config: { store: { pollMs: 200, settleMs: 0 } },
    })
    await until('the folder is known', async () => {
      const { models: names } = (await started.client.get('/v2/models')).json
      return (names as readonly string[]).length === SMALL_FAMILIES.length
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
      for (const rows of [1, 3]) {
        const given = inputs(rng, rows)
        assertOutputs(await infer(server.client, `acme/${name}`, given), await runModel(bytes, given), TOLERANCE)
      }
      const unloaded = await server.client.post(`/v2/repository/models/acme%2F${name}/unload`, '{}')
      assert.equal(unloaded.status, 200, unloaded.text)
      const again = inputs(rng, 2)
      assertOutputs(await infer(server.client, `acme/${name}`, again), await runModel(bytes, again), TOLERANCE)
    })
  }

  it('makes artifacts of its own: a server on the CPU does not take them, and neither takes the other away', async () => {
    await server.stop()
    const before = compiledOn(server)
    assert.equal(before.length, SMALL_FAMILIES.length)
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
    assert.equal(new Set([...before, ...compiledOn(cpu)]).size, 2 * SMALL_FAMILIES.length)
    server = await serve('webgpu')
    const [first] = SMALL_FAMILIES
    assert.ok(first !== undefined)
    const answer = await infer(server.client, `acme/${first.name}`, first.inputs(rng, 1))
    assert.equal(answer.headers['x-modelmux-cache'], 'load')
  })
})

function compiledOn(server: ServerProcess): unknown[] {
  return server.logged('artifact.compiled').map(({ artifact }) => artifact)
}
