/** What a server does about its worker and compiler processes, with real ones: caps, deaths, scores, environments, orphans. */
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { after, before, describe, it } from 'node:test'
import { type NamedTensor, Rng } from '../../loadtest/models/index.ts'
import { addOne, slow } from '../../loadtest/models/special/index.ts'
import { startServe } from '../../src/app/serve.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { Clock } from '../../src/lib/clock.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { until } from '../support/eventually.ts'
import { HttpClient } from '../support/http-client.ts'
import { assertOutputs, infer, outputsOf } from '../support/infer-client.ts'
import { ModelsFolder } from '../support/models-folder.ts'
import type { ServeOptions } from '../support/server-process.ts'
import { isAlive, ServerProcess } from '../support/server-process.ts'
import { hungryModel } from '../support/tiny-models.ts'

const rng = new Rng('supervision')
const MiB = 2 ** 20
const SECRETS = { AWS_SECRET_ACCESS_KEY: 'aws-secret', MLFLOW_TRACKING_TOKEN: 'mlflow-secret' }

let models: ModelsFolder

before(async () => {
  models = await ModelsFolder.make()
  await models.write('acme/slow', '1', slow().model)
  await models.write('acme/quick', '1', addOne().model)
  await models.write('acme/hungry', '1', hungryModel())
})

after(() => models.removeAll())

describe('a worker over its memory cap', () => {
  it('is killed while the model runs; the death says why, and the neighbours are answered', async (context) => {
    const server = await started(context, { config: { worker: { count: 2, memoryBytes: 512 * MiB } } })
    assert.deepEqual(outputsOf(await hungry(server, 10)).at(0)?.data, Float32Array.of(10))
    await quick(server)
    // A gigabyte and more a second, of 8 GiB asked for.
    const bomb = hungry(server, 2 ** 31)
    const neighbours = Array.from({ length: 20 }, () => quick(server))
    const answer = await bomb
    assert.deepEqual([answer.status, answer.json.code], [500, 'WORKER_CRASHED'], answer.text)
    await Promise.all(neighbours)
    const down = await server.logs('worker.down')
    assert.equal(down.reason, 'memory-cap')
    assert.ok(
      Number(down.privateBytes) > 512 * MiB && Number(down.privateBytes) < 4096 * MiB,
      String(down.privateBytes),
    )
    assert.equal((await server.logs('worker.over-memory')).worker, down.worker)
    await server.logs('worker.up', ({ worker, pid }) => worker === down.worker && pid !== down.pid)
    assert.equal((await server.metrics()).get('modelmux_worker_restarts_total{reason="memory-cap"}'), 1)
    assert.deepEqual(outputsOf(await hungry(server, 10)).at(0)?.data, Float32Array.of(10))
  })
})

describe('workers that are recycled for their drift', () => {
  it('are so under traffic, over and over, and no request fails or gets a wrong answer', async (context) => {
    const file = await mkdtemp(join(tmpdir(), 'modelmux-recycle-'))
    const config = loadConfig({
      folders: 'check',
      env: {
        MODELMUX_STORE_MODELS: models.dir,
        MODELMUX_STORE_SETTLE_MS: '0',
        MODELMUX_CACHE_DIR: join(file, 'cache'),
        MODELMUX_SERVER_PORT: '0',
        MODELMUX_WORKER_COUNT: '2',
        // A heap that grew by anything at all.
        MODELMUX_WORKER_RECYCLE_DRIFT_BYTES: '1',
        MODELMUX_WORKER_RECYCLE_PAUSE_MS: '0',
        MODELMUX_TELEMETRY_LOG_LEVEL: 'silent',
      },
    })
    // The looks for drift come each 20 ms instead of each 10 s.
    const hasty: Clock = { ...systemClock, every: (ms, task) => systemClock.every(ms === 10_000 ? 20 : ms, task) }
    const server = await startServe(config, hasty)
    const client = new HttpClient(server.port)
    context.after(async () => {
      client.close()
      await server.stop('the test is over')
      await rm(file, { recursive: true, force: true })
    })
    await until('the model is known', async () => (await client.get('/v2/models/acme/quick')).status === 200)
    let recycled = 0
    await until('there were several', async () => {
      const inputs = addOne().inputs(rng, 1)
      const all = Array.from({ length: 20 }, () => infer(client, 'acme/quick', inputs))
      for (const answer of await Promise.all(all)) assertOutputs(answer, addOne().expected(inputs))
      const { text } = await client.get('/metrics')
      recycled = Number(/worker_restarts_total\{reason="recycle"\} (\d+)/.exec(text)?.[1] ?? 0)
      return recycled >= 6
    })
  })
})

describe('worker and compiler processes', () => {
  it('are taken by the system before the main process, compilers first, and get no credentials', async (context) => {
    const server = await started(context, { env: SECRETS })
    await quick(server)
    const [worker, compiler] = [
      Number(server.logged('worker.up')[0]?.pid),
      Number(server.logged('compiler.started')[0]?.pid),
    ]
    const scores = await Promise.all([server.pid, worker, compiler].map(oomScoreAdj))
    assert.ok(Number(scores[0]) < Number(scores[1]) && Number(scores[1]) < Number(scores[2]), String(scores))
    assert.match(await environmentOf(server.pid), /aws-secret/)
    for (const pid of [worker, compiler]) {
      const environment = await environmentOf(pid)
      assert.match(environment, /PATH=/)
      for (const [name, secret] of Object.entries(SECRETS)) {
        assert.ok(!environment.includes(name) && !environment.includes(secret), `${name} is known to ${pid}`)
      }
    }
  })

  it('end with a server that is killed, also in the middle of a run that takes long', async (context) => {
    const server = await started(context, {})
    assertOutputs(await infer(server.client, 'acme/slow', iterations(1)), slow().expected(iterations(1)))
    // Some minutes.
    const cutOff = assert.rejects(infer(server.client, 'acme/slow', iterations(2_000_000)))
    const pids = [...server.logged('worker.up'), ...server.logged('compiler.started')].map(({ pid }) => Number(pid))
    await until('a worker runs', async () => {
      const used = await Promise.all(pids.map(cpuTicks))
      return used.some((ticks) => ticks > 100)
    })
    server.signal('SIGKILL')
    await cutOff
    await until('all children are gone', () => pids.every((pid) => !isAlive(pid)))
  })
})

async function started(context: TestContext, options: Partial<ServeOptions>): Promise<ServerProcess> {
  const config = { ...options.config, store: { settleMs: 0 } }
  const server = await ServerProcess.start({ ...options, models: models.dir, config })
  context.after(async () => {
    await server.stop()
  })
  await server.logs('registry.scanned')
  return server
}

async function quick(server: ServerProcess): Promise<void> {
  const inputs = addOne().inputs(rng, 1)
  assertOutputs(await infer(server.client, 'acme/quick', inputs), addOne().expected(inputs))
}

function hungry(server: ServerProcess, size: number) {
  const inputs: NamedTensor[] = [{ name: 'size', datatype: 'INT64', shape: [1], data: BigInt64Array.of(BigInt(size)) }]
  return infer(server.client, 'acme/hungry', inputs)
}

function iterations(count: number): NamedTensor[] {
  return [{ name: 'iterations', datatype: 'INT64', shape: [1], data: BigInt64Array.of(BigInt(count)) }]
}

async function oomScoreAdj(pid: number): Promise<number> {
  return Number(await readFile(`/proc/${pid}/oom_score_adj`, 'latin1'))
}

function environmentOf(pid: number): Promise<string> {
  return readFile(`/proc/${pid}/environ`, 'latin1')
}

/** User time so far, in hundredths of a second; 0 when it is gone. */
async function cpuTicks(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '')
  return Number(stat.slice(stat.lastIndexOf(')')).split(' ')[12] ?? 0)
}
