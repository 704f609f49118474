import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { sumAndDifference } from '../../loadtest/models/special/index.ts'
import type { JournalRecord } from '../../src/telemetry/journal-record.ts'
import type { Overview } from '../../src/telemetry/overview.ts'
import { eventually, until } from '../support/eventually.ts'
import { ModelsFolder } from '../support/models-folder.ts'
import { ServerProcess } from '../support/server-process.ts'

const BODY = JSON.stringify({
  inputs: ['a', 'b'].map((name) => ({ name, shape: [1, 2], datatype: 'FP32', data: [1, 2] })),
})

let models: ModelsFolder
let cache: string
let server: ServerProcess

before(async () => {
  models = await ModelsFolder.make()
  for (const name of ['busy', 'calm', 'cold']) await models.write(name, '1', sumAndDifference().model)
  await models.writeFile('broken', '1', 'model.onnx', 'no ONNX')
  cache = await mkdtemp(join(tmpdir(), 'modelmux-overview-'))
  server = await start()
})

after(async () => {
  await server.stop()
  await models.removeAll()
  await rm(cache, { recursive: true })
})

function start(): Promise<ServerProcess> {
  const config = { store: { pollMs: 200, settleMs: 0 } }
  return ServerProcess.start({ models: models.dir, cache, args: ['--workers', '2'], config })
}

async function ask(model: string, times: number): Promise<void> {
  for (let i = 0; i < times; i++) await server.client.post(`/v2/models/${model}/infer`, BODY)
}

async function overview(): Promise<Overview> {
  return JSON.parse(await admin('/admin/overview?top=10')) as Overview
}

async function events(since = 0): Promise<readonly JournalRecord[]> {
  return (JSON.parse(await admin(`/admin/events?since=${since}`)) as { events: JournalRecord[] }).events
}

/** Tests look more often than the quota allows: they come back as told. */
function admin(path: string): Promise<string> {
  return eventually(`${path} is given`, async () => {
    const { status, text } = await server.client.get(path)
    assert.ok(status === 200 || status === 429, text)
    return status === 200 ? text : undefined
  })
}

describe('the overview of a server', () => {
  it('shows who is busy, where it is open, what it costs, and what became of the others', async () => {
    await until('the folder is known', () => server.logged('registry.scanned').length > 0)
    await ask('calm', 3)
    await ask('busy', 20)
    await ask('broken', 2)
    await ask('nobody', 2)
    const { server: self, traffic, models: shown, workers, ledger, compilers, events: latest } = await overview()
    assert.deepEqual(
      shown.hottest.map(({ name, state }) => `${name} ${state}`),
      ['busy ready', 'calm ready', 'broken failed'],
    )
    const [busy, , broken] = shown.hottest
    assert.ok(busy !== undefined && broken !== undefined)
    assert.deepEqual([busy.requests, busy.errors, busy.outcomes.compile, broken.errors], [20, 0, 1, 2])
    assert.ok(busy.requestsPerSecond > 0 && (busy.p50Ms ?? 0) > 0 && (busy.p99Ms ?? 0) >= (busy.p50Ms ?? 0))
    assert.ok(busy.workers.length > 0 && busy.privateBytes > 0)
    assert.deepEqual([shown.registered, shown.resident], [4, 2])
    assert.equal(traffic.requests, 25)
    assert.ok((traffic.recentHitRatio ?? 0) > 0.8)
    assert.deepEqual(
      workers.map(({ id, isUp, restarts }) => ({ id, isUp, restarts })),
      [0, 1].map((i) => ({ id: `worker-${i}`, isUp: true, restarts: 0 })),
    )
    assert.ok(workers.every(({ privateBytes, pid, mappingLimit }) => privateBytes > 0 && pid > 0 && mappingLimit > 0))
    assert.equal(
      workers.reduce((sum, { sessions }) => sum + sessions, 0),
      shown.hottest.reduce((sum, model) => sum + model.workers.length, 0),
    )
    const kinds = Object.values(ledger.bytesByKind).reduce((sum, bytes) => sum + bytes, 0)
    assert.equal(kinds, ledger.usedBytes)
    assert.ok(ledger.usedBytes > 0 && ledger.usedBytes < ledger.budgetBytes)
    assert.deepEqual(
      compilers.map(({ lane }) => lane),
      ['small', 'big', 'background'],
    )
    assert.equal(self.requestsInFlight, 1)
    assert.equal(latest.filter(({ event }) => event === 'model.loaded').length, 2)
  })

  it('sees the cores that its workers keep busy', async () => {
    await eventually('the workers were looked at twice', async () => {
      await ask('busy', 5)
      const { workers } = await overview()
      return workers.every(({ busyCores }) => busyCores !== null && busyCores >= 0) ? true : undefined
    })
  })
})

describe('the journal of a server', () => {
  it('tells of deaths and unloads with their reasons', async () => {
    const [worker] = (await overview()).workers
    const { status } = await server.client.post('/v2/repository/models/calm/unload')
    assert.equal(status, 200)
    process.kill(worker?.pid ?? 0, 'SIGKILL')
    const down = await eventually('the death is noted', async () =>
      (await events()).find(({ event }) => event === 'worker.down'),
    )
    assert.equal(down.fields.signal, 'SIGKILL')
    await until('it is up again', async () => (await overview()).workers.every(({ isUp }) => isUp))
    assert.equal((await overview()).workers[0]?.restarts, 1)
    const drained = (await events()).find(({ event }) => event === 'model.drained')
    assert.match(String(drained?.fields.key), /^calm:1#/)
    assert.equal(drained?.fields.reason, 'unloaded')
  })

  it('is there again after the process was killed, goes on counting, and does not disturb the folder', async () => {
    const before = await events()
    const last = before.at(-1)?.seq ?? 0
    await until('what happened is written', async () => (await readdir(join(cache, 'journal'))).length > 0)
    // A line may wait a moment to be gathered with others.
    await eventually('all of it is written', async () =>
      (await journalText()).includes(`"seq":${last},`) ? true : undefined,
    )
    server.signal('SIGKILL', 'group')
    await server.end()
    server = await start()
    const again = await events()
    assert.deepEqual(again.slice(0, before.length), before)
    assert.ok((again.at(-1)?.seq ?? 0) > last)
    assert.deepEqual(await events(again.at(-1)?.seq), [])
    await until('the folder is known', () => server.logged('registry.scanned').length > 0)
    await ask('busy', 1)
    assert.equal((await overview()).models.hottest[0]?.outcomes.load, 1)
  })
})

async function journalText(): Promise<string> {
  const dir = join(cache, 'journal')
  const texts = await Promise.all((await readdir(dir)).map((name) => readFile(join(dir, name), 'utf8')))
  return texts.join('')
}
