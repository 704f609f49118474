/** Blame on real crashes: models that bring ONNX Runtime down on some input, files that go bad under an open session. */
import assert from 'node:assert/strict'
import { chmod, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, describe, it } from 'node:test'
import type { NamedTensor } from '../../loadtest/models/index.ts'
import { Rng } from '../../loadtest/models/index.ts'
import { addOne, constantNode, crashing, poisonInputs, slow } from '../../loadtest/models/special/index.ts'
import { eventually, until } from '../support/eventually.ts'
import type { Answer } from '../support/http-client.ts'
import { assertOutputs, assertRefused, infer } from '../support/infer-client.ts'
import { ModelsFolder } from '../support/models-folder.ts'
import { ServerProcess } from '../support/server-process.ts'

const MODEL = 'acme/crashing'
const CRASH = /died \(SIGFPE\) while it ran this request alone/
const rng = new Rng('blame')
const models = await ModelsFolder.make()
after(() => models.removeAll())
for (const name of [MODEL, 'acme/twice']) await models.write(name, '1', crashing().model)
await models.write('acme/slow', '1', slow().model)
for (const name of ['acme/matrix', 'beta/matrix']) await models.write(name, '1', constantNode().model)
await models.write('beta/neighbour', '1', addOne().model)

const servers: ServerProcess[] = []
const folders: string[] = []

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.stop()))
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true })
})

async function cacheFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'modelmux-blame-'))
  folders.push(folder)
  return folder
}

async function serve(cache: string, worker: object = {}, env: Record<string, string> = {}): Promise<ServerProcess> {
  const server = await ServerProcess.start({
    models: models.dir,
    cache,
    config: { store: { settleMs: 0 }, worker: { respawnBaseMs: 10, ...worker } },
    args: ['--workers', '1'],
    env,
  })
  servers.push(server)
  await server.logs('registry.scanned')
  return server
}

async function good(server: ServerProcess, name = MODEL): Promise<void> {
  const inputs = crashing().inputs(rng, 2)
  assertOutputs(await infer(server.client, name, inputs), crashing().expected(inputs))
}

const quarantineFiles = (cache: string) => readdir(join(cache, 'quarantine')).catch((): string[] => [])

/** Asks a neighbour's model again and again until it is told to stop. @returns every status there was */
function neighbour(server: ServerProcess): { stop(): Promise<number[]> } {
  const over = new AbortController()
  const asked = (async () => {
    const statuses: number[] = []
    while (!over.signal.aborted) {
      const inputs = addOne().inputs(rng, 1)
      const answer = await infer(server.client, 'beta/neighbour', inputs)
      if (answer.status === 200) assertOutputs(answer, addOne().expected(inputs))
      statuses.push(answer.status)
    }
    return statuses
  })()
  return {
    stop() {
      over.abort()
      return asked
    },
  }
}

/** Requests that come to the only worker while it is held up, and so are handed over together. Beside a neighbour. */
async function together(server: ServerProcess, all: readonly (readonly NamedTensor[])[]): Promise<Answer[]> {
  // A load of its own would hold nothing up.
  assert.equal((await infer(server.client, 'acme/slow', iterations(1))).status, 200)
  const holding = infer(server.client, 'acme/slow', iterations(10_000))
  // This one, the neighbour's, and the question itself.
  await until('the worker is held', async () => (await inFlight(server)) >= 3)
  const answers = all.map((inputs) => infer(server.client, MODEL, inputs))
  assert.equal((await holding).status, 200)
  return await Promise.all(answers)
}

async function inFlight(server: ServerProcess): Promise<number> {
  return (await server.metrics()).get('modelmux_requests_in_flight') ?? 0
}

function iterations(count: number): NamedTensor[] {
  return [{ name: 'iterations', datatype: 'INT64', shape: [1], data: BigInt64Array.of(BigInt(count)) }]
}

describe('a model that brings the engine down on some input', () => {
  it('costs only the requests that do it, then itself, across a restart, until its file is removed', async () => {
    const cache = await cacheFolder()
    const server = await serve(cache)
    await good(server)
    const beside = neighbour(server)

    const inputs = Array.from({ length: 9 }, (_, i) => (i === 4 ? poisonInputs() : crashing().inputs(rng, 1)))
    const answers = await together(server, inputs)
    for (const [i, answer] of answers.entries()) {
      if (i === 4) assertRefused(answer, 500, 'WORKER_CRASHED', CRASH)
      else assertOutputs(answer, crashing().expected(inputs[i] ?? []))
    }
    const suspected = await server.logs('model.suspected')
    assert.ok(Number(suspected.requests) > 1, 'they were handed over together')
    const struck = await server.logs('model.struck')
    assert.deepEqual([struck.reason, struck.phase, struck.how, struck.counting], ['crash', 'run', 'SIGFPE', 1])
    assert.match(String(struck.process), /^spare-/)

    assertRefused(
      await infer(server.client, MODEL, poisonInputs()),
      500,
      'WORKER_CRASHED',
      /this very request ended spare/,
    )
    await good(server)
    assertRefused(await infer(server.client, MODEL, poisonInputs(1)), 500, 'WORKER_CRASHED', CRASH)
    const refusal = await infer(server.client, MODEL, crashing().inputs(rng, 1))
    assertRefused(refusal, 422, 'MODEL_QUARANTINED', /quarantined, because it ended 2 worker processes by itself/)
    assert.deepEqual([refusal.json.strike, refusal.json.how, refusal.json.strikes], ['crash', 'SIGFPE', 2])
    const line = await server.logs('request.refused', ({ code }) => code === 'MODEL_QUARANTINED')
    assert.equal(line.against, 'model')

    const statuses = await beside.stop()
    assert.ok(statuses.length > 0)
    assert.deepEqual(new Set(statuses), new Set([200]), 'the neighbour never noticed')
    const metrics = await server.metrics()
    assert.equal(metrics.get('modelmux_strikes_total{reason="crash"}'), 2)
    assert.equal(metrics.get('modelmux_models_quarantined'), 1)
    await until('the record is on disk', async () => (await quarantineFiles(cache)).length === 1)
    await server.stop()

    const next = await serve(cache)
    assertRefused(await infer(next.client, MODEL, crashing().inputs(rng, 1)), 422, 'MODEL_QUARANTINED', /quarantined/)
    const [file = ''] = await quarantineFiles(cache)
    const record = JSON.parse(await readFile(join(cache, 'quarantine', file), 'utf8')) as Record<string, unknown>
    assert.equal(record.model, MODEL)
    await rm(join(cache, 'quarantine', file))
    await next.logs('model.released', ({ reason }) => reason === 'file-removed')
    await good(next)
  })

  it('is not held against other bytes under its name', async () => {
    const server = await serve(await cacheFolder())
    await good(server, 'acme/twice')
    for (const other of [1, 2]) await infer(server.client, 'acme/twice', poisonInputs(other))
    assertRefused(await infer(server.client, 'acme/twice', poisonInputs()), 422, 'MODEL_QUARANTINED', /twice:1/)
    await models.write('acme/twice', '1', addOne().model)
    const inputs = addOne().inputs(rng, 1)
    await until('the registry has seen it', async () => {
      const answer = await infer(server.client, 'acme/twice', inputs)
      return answer.status === 200
    })
  })

  it('whose runs do not end is refused as well', async () => {
    const server = await serve(await cacheFolder(), { hangMs: 300 })
    assert.equal((await infer(server.client, 'acme/slow', iterations(1))).status, 200)
    for (const count of [10_000_000, 20_000_000]) {
      const answer = await infer(server.client, 'acme/slow', iterations(count))
      assertRefused(answer, 500, 'WORKER_CRASHED', /was stopped because this request, alone, did not end/)
    }
    assertRefused(await infer(server.client, 'acme/slow', iterations(1)), 422, 'MODEL_QUARANTINED', /hang \(SIGKILL\)/)
  })
})

describe('a quarantine record', () => {
  it('that cannot be read is said and refuses nothing; the start goes on', async () => {
    const cache = await cacheFolder()
    const server = await serve(cache)
    await good(server)
    for (const other of [1, 2]) await infer(server.client, MODEL, poisonInputs(other))
    await until('the record is on disk', async () => (await quarantineFiles(cache)).length === 1)
    await server.stop()
    const [file = ''] = await quarantineFiles(cache)
    await truncate(join(cache, 'quarantine', file), 100)
    const next = await serve(cache)
    const unreadable = await next.logs('quarantine.unreadable')
    assert.equal(unreadable.file, `quarantine/${file}`)
    await good(next)
  })

  for (const [passage, what, isThere] of [
    [1, 'before it has its name', false],
    [2, 'after it has its name', true],
  ] as const) {
    it(`is whole or not there when the server is killed ${what}`, async () => {
      const cache = await cacheFolder()
      const server = await serve(cache, {}, { KILL_MODELMUX_AT: `quarantine:${passage}` })
      await good(server)
      const deadly = [1, 2].map((other) => infer(server.client, MODEL, poisonInputs(other)).catch(() => undefined))
      await Promise.all(deadly)
      assert.equal((await server.exited).signal, 'SIGKILL')
      const next = await serve(cache)
      assert.deepEqual(next.logged('quarantine.unreadable'), [])
      const answer = await infer(next.client, MODEL, crashing().inputs(rng, 1))
      assert.equal(answer.json.code, isThere ? 'MODEL_QUARANTINED' : undefined, answer.text)
      assert.equal((await quarantineFiles(cache)).length, isThere ? 1 : 0)
    })
  }
})

describe('a file that goes bad under an open session', () => {
  it('is found when the worker dies of it: made again, the request answered, and the model not blamed', async () => {
    const cache = await cacheFolder()
    const server = await serve(cache)
    const inputs = constantNode().inputs(rng, 1)
    assertOutputs(await infer(server.client, 'acme/matrix', inputs), constantNode().expected(inputs))
    const blob = await onlyBlob(cache)
    // The session has the file mapped: what it reads past the end is SIGBUS.
    await truncate(blob, 0)
    assertOutputs(await infer(server.client, 'acme/matrix', inputs), constantNode().expected(inputs))
    assert.equal((await server.logs('worker.down')).signal, 'SIGBUS')
    await server.logs('artifact.corrupt')
    await until('it is said that it was made again', () => server.logged('artifact.compiled').length === 2)
    // All that was logged before is here by now.
    assert.deepEqual([server.logged('model.struck'), server.logged('model.suspected')], [[], []])
    assert.ok((await stat(await onlyBlob(cache))).size > 0)
  })

  it('and is found by somebody else’s look at it is closed in every worker, for all models that have it', async () => {
    const cache = await cacheFolder()
    const server = await serve(cache)
    const inputs = constantNode().inputs(rng, 1)
    assertOutputs(await infer(server.client, 'acme/matrix', inputs), constantNode().expected(inputs))
    const blob = await onlyBlob(cache)
    await chmod(blob, 0o644)
    // In place: what is mapped changes with it, and no run fails of it.
    await writeFile(blob, Buffer.alloc(160 * 160 * 4, 0xff), { flag: 'r+' })
    // The same bytes under another name, whose load looks at the files.
    const answer = await eventually('it is made again', async () => {
      const one = await infer(server.client, 'beta/matrix', inputs)
      return one.status === 200 ? one : undefined
    })
    assertOutputs(answer, constantNode().expected(inputs))
    await server.logs('artifact.corrupt')
    assertOutputs(await infer(server.client, 'acme/matrix', inputs), constantNode().expected(inputs))
    await server.logs(
      'model.drained',
      ({ key, reason }) => String(key).startsWith('acme/matrix') && reason === 'damaged',
    )
    assert.deepEqual(server.logged('model.struck'), [])
  })
})

async function onlyBlob(cache: string): Promise<string> {
  const names = await readdir(join(cache, 'blobs'), { recursive: true, withFileTypes: true })
  const files = names.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name))
  const sizes = await Promise.all(files.map(async (file) => ({ file, bytes: (await stat(file)).size })))
  const found = sizes.find(({ bytes }) => bytes === 160 * 160 * 4)
  assert.ok(found !== undefined, files.join(' '))
  return found.file
}
