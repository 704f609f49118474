/**
 * Unmodified clients of others against a real server: `tritonclient.http`, blocking and asyncio, and KServe's REST client. Each script
 * of `clients/` runs its checks and says how each ended. `test/servers/install-python.sh` makes the environment; in CI its absence is
 * a failure.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { addOne, identity } from '../../loadtest/models/special/index.ts'
import { ModelsFolder } from '../support/models-folder.ts'
import { ServerProcess } from '../support/server-process.ts'

const PYTHON = process.env.TEST_PYTHON ?? '.venv-test/bin/python'
const SCRIPTS = {
  'tritonclient.http': 'triton_http.py',
  'tritonclient.http.aio': 'triton_aio.py',
  KServe: 'kserve_rest.py',
}
const BOUND_MS = 120_000

const hasPython = existsSync(PYTHON)
const skip = hasPython || process.env.CI === 'true' ? false : `no ${PYTHON}: run test/servers/install-python.sh`

interface Check {
  readonly name: string
  readonly error: string | null
}

describe('clients of others', { skip }, () => {
  let models: ModelsFolder
  let server: ServerProcess

  before(async () => {
    models = await ModelsFolder.make()
    await models.write('acme/churn', '1', addOne().model)
    await models.write('acme/churn', '2', identity('FP32').model)
    await models.aliases('acme/churn', { champion: '1' })
    await models.write('acme/unasked', '1', addOne().model)
    for (const type of ['FP32', 'FP16', 'INT64', 'BYTES'] as const)
      await models.write(`types/${type.toLowerCase()}`, '1', identity(type).model)
    await models.write('acme/größe ✓', '1', addOne().model)
    await models.write('Ünïcode model', '1', addOne().model)
    await models.write('stacked', '1', addOne().model)
    await models.writeFile('bad/model', '1', 'model.onnx', 'this is no model')
    server = await ServerProcess.start({
      models: models.dir,
      args: ['--workers', '2'],
      config: { store: { settleMs: 0 } },
    })
    await server.logs('registry.scanned')
  })

  after(async () => {
    await server.stop()
    await models.removeAll()
  })

  for (const [client, script] of Object.entries(SCRIPTS)) {
    it(`${client} works as it is`, async (context) => {
      const checks = await runChecks(script)
      assert.ok(checks.length > 0)
      for (const { name, error } of checks)
        await context.test(name, () => {
          assert.equal(error, null, error ?? '')
        })
    })
  }

  async function runChecks(script: string): Promise<Check[]> {
    const path = join(import.meta.dirname, 'clients', script)
    const { stdout } = await promisify(execFile)(PYTHON, ['-B', path, `127.0.0.1:${server.port}`], {
      timeout: BOUND_MS,
    })
    return stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Check)
  }
})
