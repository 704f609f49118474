import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, describe, it } from 'node:test'
import type { NamedTensor } from '../../loadtest/models/index.ts'
import { Rng } from '../../loadtest/models/index.ts'
import { addOne, slow } from '../../loadtest/models/special/index.ts'
import { until } from '../support/eventually.ts'
import type { Answer } from '../support/http-client.ts'
import type { InferOptions } from '../support/infer-client.ts'
import { assertOutputs, infer } from '../support/infer-client.ts'
import { ModelsFolder } from '../support/models-folder.ts'
import { isAlive, ServerProcess } from '../support/server-process.ts'

const rng = new Rng('serve waits')
const QUEUE_LIMIT = 4

let models: ModelsFolder
/** One worker: what runs there holds up everything else. */
let one: ServerProcess
let two: ServerProcess

before(async () => {
  models = await ModelsFolder.make()
  for (const name of ['acme/slow', 'beta/slow']) await models.write(name, '1', slow().model)
  await models.write('acme/quick', '1', addOne().model)
  await models.write('acme/brief', '1', slow().model)
  await models.settings('acme/brief', { deadlineMs: 60 })
  const config = {
    store: { settleMs: 0 },
    scheduler: { maxQueuedPerModel: QUEUE_LIMIT },
    worker: { respawnBaseMs: 10 },
  }
  ;[one, two] = await Promise.all([
    ServerProcess.start({ models: models.dir, config, args: ['--workers', '1'] }),
    ServerProcess.start({ models: models.dir, config, args: ['--workers', '2'] }),
  ])
  for (const server of [one, two]) {
    await server.logs('registry.scanned')
    for (const name of ['acme/slow', 'beta/slow']) assert.equal((await run(server, name, 1)).status, 200)
    // Its own deadline may end waits for its load on a machine that is busy otherwise.
    await until('the brief one is loaded', async () => (await run(server, 'acme/brief', 1)).status === 200)
    await quick(server)
  }
})

after(async () => {
  await Promise.all([one.stop(), two.stop()])
  await models.removeAll()
})

describe('deadlines', () => {
  it('end the wait for a run that takes longer, and say where the time went; the run harms nobody', async () => {
    const late = await run(one, 'acme/slow', 5000, { headers: ['x-modelmux-timeout-ms', '150'] })
    assert.deepEqual([late.status, late.json.code], [504, 'DEADLINE_EXCEEDED'])
    assert.match(
      String(late.json.error),
      /the deadline of 150 ms passed while waiting for its answer, after queue [0-9]+ ms/,
    )
    assert.deepEqual([late.json.model, late.json.version], ['acme/slow', '1'])
    await quick(one)
    assert.equal(one.logged('worker.down').length, 0)
  })

  it('end the wait for a worker; what is late never runs', async () => {
    const before = await executions('beta/slow')
    const holding = run(one, 'acme/slow', 5000)
    await until('the worker is held', () => isHeld(one, 1))
    const late = await run(one, 'beta/slow', 1, { headers: ['x-modelmux-timeout-ms', '100'] })
    assert.deepEqual([late.status, late.json.code], [504, 'DEADLINE_EXCEEDED'])
    assert.match(String(late.json.error), /100 ms passed while waiting for a worker/)
    assertOutputs(await holding, slow().expected(iterations(5000)))
    await quick(one)
    assert.equal(await executions('beta/slow'), before)
  })

  it("are the model's own where the client names none, and a client may ask for a longer one", async () => {
    const late = await run(one, 'acme/brief', 4000)
    assert.deepEqual([late.status, late.json.code], [504, 'DEADLINE_EXCEEDED'])
    assert.match(String(late.json.error), /deadline of 60 ms/)
    const patient = await run(one, 'acme/brief', 4000, { headers: ['x-modelmux-timeout-ms', '20000'] })
    assertOutputs(patient, slow().expected(iterations(4000)))
  })
})

describe('queues', () => {
  it('refuse what is over their bound at once, with advice, and answer what is inside', async () => {
    const inside = Array.from({ length: QUEUE_LIMIT }, () => run(one, 'acme/slow', 2500))
    await until('all are inside', () => isHeld(one, QUEUE_LIMIT))
    const refused = await run(one, 'acme/slow', 1)
    assert.deepEqual([refused.status, refused.json.code], [503, 'OVERLOADED'])
    assert.match(String(refused.json.error), /4 requests wait for this model already/)
    assert.ok(Number(refused.headers['retry-after']) >= 1)
    // Another model's requests have their own room.
    await quick(one)
    for (const answer of await Promise.all(inside)) assertOutputs(answer, slow().expected(iterations(2500)))
    assert.equal((await run(one, 'acme/slow', 1)).status, 200)
  })

  it('let go of a client that leaves, and answer the others', async () => {
    const before = await executions('beta/slow')
    const holding = run(one, 'acme/slow', 5000)
    await until('the worker is held', () => isHeld(one, 1))
    const leaver = new AbortController()
    const left = assert.rejects(run(one, 'beta/slow', 1, { signal: leaver.signal }), { name: 'AbortError' })
    const stays = quick(one)
    await until('they are inside', () => isHeld(one, 3))
    leaver.abort()
    await left
    await until('it is forgotten', async () => !(await isHeld(one, 3)))
    await stays
    await holding
    assert.equal(await executions('beta/slow'), before)
  })
})

describe('a worker that dies', () => {
  it('fails only what ran in it; the rest is answered, and the next requests are too', async () => {
    const pids = new Map(two.logged('worker.up').map(({ worker, pid }) => [worker, Number(pid)]))
    const running = run(two, 'acme/slow', 30_000)
    const busy = await busyWorker([...pids.values()])
    // Behind it in the same queue: not begun, so it may run elsewhere.
    const queued = run(two, 'acme/slow', 2)
    const others = Array.from({ length: QUEUE_LIMIT - 1 }, () => quick(two))
    await until('all are inside', async () => ((await two.metrics()).get('modelmux_requests_in_flight') ?? 0) >= 3)
    process.kill(busy, 'SIGKILL')
    const crashed = await running
    assert.deepEqual([crashed.status, crashed.json.code], [500, 'WORKER_CRASHED'])
    assert.match(String(crashed.json.error), /killed from outside .* while it ran this request/)
    assertOutputs(await queued, slow().expected(iterations(2)))
    await Promise.all(others)
    const down = await two.logs('worker.down')
    assert.deepEqual([pids.get(down.worker), down.signal], [busy, 'SIGKILL'])
    await two.logs('worker.up', ({ worker, pid }) => worker === down.worker && pid !== busy)
    for (let i = 0; i < 10; i++) {
      await quick(two)
      assertOutputs(await run(two, 'acme/slow', 1), slow().expected(iterations(1)))
    }
    const metrics = await two.metrics()
    assert.equal(metrics.get('modelmux_worker_restarts_total{reason="host"}'), 1)
    assert.equal(metrics.get('modelmux_requests_in_flight'), 1)
    assert.equal(metrics.get('modelmux_queue_depth'), 0)
  })

  it('and all workers at once: the server says that it is not ready, comes back, and loses no model', async () => {
    for (const { pid } of two.logged('worker.up')) if (isAlive(Number(pid))) process.kill(Number(pid), 'SIGKILL')
    await until('requests are answered again', async () => (await run(two, 'acme/slow', 1)).status === 200)
    await quick(two)
    await until('it is ready', async () => (await two.client.get('/readyz')).status === 200)
    assert.equal(two.logged('process.fault').length, 0)
  })
})

function iterations(count: number): NamedTensor[] {
  return [{ name: 'iterations', datatype: 'INT64', shape: [1], data: BigInt64Array.of(BigInt(count)) }]
}

/** Keeps a worker busy for about a tenth of so many milliseconds. */
function run(server: ServerProcess, name: string, count: number, options: InferOptions = {}): Promise<Answer> {
  return infer(server.client, name, iterations(count), options)
}

/** A request of another model, answered right. */
async function quick(server: ServerProcess): Promise<void> {
  const inputs = addOne().inputs(rng, 1)
  assertOutputs(await infer(server.client, 'acme/quick', inputs), addOne().expected(inputs))
}

/** Are so many requests inside, beside the one that asks? */
async function isHeld(server: ServerProcess, count: number): Promise<boolean> {
  return (await server.metrics()).get('modelmux_requests_in_flight') === 1 + count
}

async function executions(name: string): Promise<unknown> {
  const { json } = await one.client.get(`/v2/models/${name}/stats`)
  return (json.model_stats as Record<string, unknown>[])[0]?.execution_count
}

/** The process among these that uses the CPU. */
async function busyWorker(pids: readonly number[]): Promise<number> {
  const ticks = async (pid: number): Promise<number> => {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    return Number(stat.slice(stat.lastIndexOf(')')).split(' ')[12])
  }
  const start = await Promise.all(pids.map(ticks))
  let busy: number | undefined
  await until('a worker is busy', async () => {
    const now = await Promise.all(pids.map(ticks))
    // Ten ticks are a tenth of a second, more than an idle process uses.
    busy = pids.find((_, i) => (now[i] ?? 0) - (start[i] ?? 0) >= 10)
    return busy !== undefined
  })
  return busy ?? 0
}
