import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { identity } from '../../loadtest/models/special/index.ts'
import { ModelsFolder } from '../support/models-folder.ts'
import { runModelmux, ServerProcess } from '../support/server-process.ts'

/** No machine has so many GPUs. */
const MISSING = 'cuda:99'

describe('a server told to run on a GPU that is not there', () => {
  let models: ModelsFolder
  let cache: string

  before(async () => {
    models = await ModelsFolder.make()
    await models.write('acme/same', '1', identity('FP32').model)
    cache = await mkdtemp(join(tmpdir(), 'modelmux-missing-'))
  })
  after(async () => {
    await models.removeAll()
    await rm(cache, { recursive: true, force: true })
  })

  for (const [device, env, tells] of [
    [MISSING, {}, /^modelmux: cuda:99 cannot be used: .+; it needs an NVIDIA driver, CUDA 12/m],
    [
      'webgpu',
      { VK_ICD_FILENAMES: '/nonexistent.json' },
      /^modelmux: webgpu cannot be used: .+; it needs a Vulkan driver/m,
    ],
  ] as const) {
    it(`does not start on ${device}, says why, and leaves nothing half started`, async () => {
      const args = ['serve', '--models', models.dir, '--cache', cache, '--port', '0', '--device', device]
      const { code, stdout, stderr } = await runModelmux(args, { env })
      assert.equal(code, 1, stderr)
      assert.equal(stdout, '')
      assert.match(stderr, tells)
      assert.doesNotMatch(stderr, /device\.chosen|compiler\.started|worker\.up/)
      assert.deepEqual(
        (await readdir(cache)).filter((name) => name.endsWith('.json') || name === 'blobs'),
        [],
      )
    })
  }

  it('that is not a device at all is told what there is', async () => {
    const { code, stderr } = await runModelmux(['serve', '--models', models.dir, '--cache', cache, '--device', 'gpu'])
    assert.equal(code, 2)
    assert.match(stderr, /device\.use = "gpu" \(from flag --device\): expected one of cpu, webgpu, cuda:N and auto/)
  })

  it('with several workers is told that a GPU has one', async () => {
    const args = ['serve', '--models', models.dir, '--cache', cache, '--device', 'cuda:0', '--workers', '2']
    const { code, stderr } = await runModelmux(args)
    assert.equal(code, 2)
    assert.match(stderr, /device\.use = "cuda:0" and worker\.count = 2: expected worker\.count to be null or 1/)
  })

  it('starts on the CPU when it may choose, and says so with the reason', async () => {
    // As on a machine without a GPU, wherever this runs.
    const server = await ServerProcess.start({
      models: models.dir,
      cache,
      args: ['--device', 'auto'],
      env: { CUDA_VISIBLE_DEVICES: '-1' },
    })
    try {
      const [chosen] = server.logged('device.chosen')
      assert.deepEqual([chosen?.device, chosen?.wanted], ['cpu', 'auto'])
      assert.match(String(chosen?.reason), /^cuda:0 cannot be used: /)
      const names = [...(await server.metrics()).keys()]
      assert.ok(names.some((name) => name.startsWith('modelmux_build_info') && name.includes('device="cpu"')))
      assert.ok(!names.some((name) => name.startsWith('modelmux_device_up')))
    } finally {
      await server.stop()
    }
  })
})
