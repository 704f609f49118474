/**
 * kill -9 at every named point: of a compiler or worker alone, and of the server while its child is at the point. What was complete
 * before is used after it, nothing is half there, and every model answers with its own weights.
 */
import assert from 'node:assert/strict'
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { after, before, describe, it } from 'node:test'
import { Rng } from '../../loadtest/models/index.ts'
import { crashing, poisonInputs } from '../../loadtest/models/special/index.ts'
import type { KillPoint } from '../../src/child/kill-points.ts'
import { manifestsIn, problemsIn, stagedIn } from '../support/artifact/folder-facts.ts'
import { Customers } from '../support/customers.ts'
import { until } from '../support/eventually.ts'
import { infer } from '../support/infer-client.ts'
import { compiledNames } from '../support/server-logs.ts'
import { ServerProcess } from '../support/server-process.ts'

const NOT_X86 = process.arch === 'x64' ? false : 'integer division kills no process here'
/** Compiled before anything is killed, and asked for cold while it is. */
const OLD = [1, 2] as const
const NEW = 3
const ALL = [...OLD, NEW] as const
/** More than any disk has: every compile finds it full, and evicts. */
const FULL_DISK = { MODELMUX_CACHE_MIN_FREE_DISK_BYTES: String(2 ** 50) }

let customers: Customers
let root: string
/** A cache folder with the old models, to be copied. */
let base: string

before(async () => {
  customers = await Customers.make(ALL.length, 'full')
  root = await mkdtemp(join(tmpdir(), 'modelmux-kills-'))
  base = join(root, 'base')
  const server = await start(base)
  for (const one of OLD) await customers.askRight(server, one)
  await server.stop()
})
after(async () => {
  await customers.remove()
  await rm(root, { recursive: true })
})

async function start(cache: string, env: Readonly<Record<string, string>> = {}): Promise<ServerProcess> {
  const server = await ServerProcess.start({
    models: customers.folder.dir,
    cache,
    env,
    args: ['--workers', '1'],
    config: { store: { settleMs: 0 }, artifact: { probe: false } },
  })
  await server.logs('registry.scanned')
  return server
}

async function copyOfBase(): Promise<string> {
  const cache = await mkdtemp(join(root, 'case-'))
  await cp(base, cache, { recursive: true, preserveTimestamps: true })
  return cache
}

/** What the next start must be able to do with a folder, whatever happened there. `mayCompile`: models whose artifacts were not complete. */
async function assertServes(context: TestContext, cache: string, mayCompile: readonly number[]): Promise<void> {
  const server = await start(cache)
  context.after(() => server.stop())
  // Before the new model is asked for, whose files would take the place of what is half there.
  await until('nothing half there is left', () => problemsIn(cache).length === 0)
  for (const one of ALL) await customers.askRight(server, one)
  await server.stop()
  assert.deepEqual(problemsIn(cache), [])
  assert.deepEqual(stagedIn(cache), [])
  assert.equal((await readdir(join(cache, 'owner'))).length, 1)
  assert.deepEqual(
    compiledNames(server),
    mayCompile.map((one) => customers.nameOf(one)),
  )
}

/** Starts a server that is to die at a point, has `act` bring it there, and sees it die. */
async function dies(
  cache: string,
  at: string,
  act: (server: ServerProcess) => Promise<unknown>,
  env = {},
): Promise<void> {
  const server = await start(cache, { ...env, KILL_MODELMUX_AT: at })
  const acted = act(server).catch(() => undefined)
  assert.deepEqual(await server.end(), { code: null, signal: 'SIGKILL' })
  await acted
}

const COMPILER: readonly (KillPoint | `${KillPoint}:${number}`)[] = [
  'walk',
  'digest',
  'staging',
  'optimise',
  'blob',
  'blob:2',
  'graph',
  'check',
]

describe('kill -9 of the server', () => {
  for (const point of COMPILER) {
    it(`while its compiler is at '${point}'`, async (context) => {
      const cache = await copyOfBase()
      await dies(cache, `${point}+server`, (server) => customers.ask(server, NEW))
      await assertServes(context, cache, [NEW])
    })
  }

  it("at 'manifest', with everything but the manifest in place", async (context) => {
    const cache = await copyOfBase()
    await dies(cache, 'manifest', (server) => customers.ask(server, NEW))
    await assertServes(context, cache, [NEW])
  })

  it("at 'rename', with the manifest in place and nobody told", async (context) => {
    const cache = await copyOfBase()
    await dies(cache, 'rename', (server) => customers.ask(server, NEW))
    await assertServes(context, cache, [])
  })

  for (const point of ['open', 'run'] as const) {
    it(`while its worker is at '${point}'`, async (context) => {
      const cache = await copyOfBase()
      await dies(cache, `${point}+server`, (server) => customers.ask(server, 1))
      await assertServes(context, cache, [NEW])
    })
  }

  it("while its worker is at 'close'", async (context) => {
    const cache = await copyOfBase()
    await dies(cache, 'close+server', async (server) => {
      await customers.askRight(server, 1)
      await server.client.post(`/v2/repository/models/${customers.nameOf(1)}/unload`)
    })
    await assertServes(context, cache, [NEW])
  })

  for (const passage of [1, 2, 3, 4]) {
    it(`at passage ${passage} of 'evict'`, async (context) => {
      const cache = await copyOfBase()
      await dies(cache, `evict:${passage}`, (server) => customers.ask(server, NEW), FULL_DISK)
      // What still has its manifest is whole.
      const left = manifestsIn(cache).length
      assert.ok(left < OLD.length, 'nothing was evicted')
      const server = await start(cache)
      context.after(() => server.stop())
      for (const one of ALL) await customers.askRight(server, one)
      await until('nothing half there is left', () => problemsIn(cache).length === 0)
      await server.stop()
      assert.equal(compiledNames(server).length, ALL.length - left)
      assert.deepEqual(stagedIn(cache), [])
    })
  }
})

describe('kill -9 of the server as it writes a quarantine', { skip: NOT_X86 }, () => {
  const MODEL = 'crash/model'
  before(() => customers.folder.write(MODEL, '1', crashing().model))

  const OUTCOMES = [
    { passage: 1, what: 'leaves the model free when its record is not in place', status: 200 },
    { passage: 2, what: 'refuses the model when its record is', status: 422 },
  ] as const
  for (const { passage, what, status } of OUTCOMES) {
    it(what, async (context) => {
      const cache = await copyOfBase()
      await dies(cache, `quarantine:${passage}`, async (server) => {
        for (const inputs of [poisonInputs(), poisonInputs(1)]) await infer(server.client, MODEL, inputs)
      })
      const server = await start(cache)
      context.after(() => server.stop())
      const answer = await infer(server.client, MODEL, crashing().inputs(new Rng('after the kill'), 1))
      assert.equal(answer.status, status, answer.text)
      for (const one of ALL) await customers.askRight(server, one)
      await server.stop()
      assert.deepEqual(problemsIn(cache), [])
      assert.deepEqual(stagedIn(cache), [])
    })
  }
})

describe('kill -9 of a child alone', () => {
  for (const point of COMPILER) {
    it(`of the compiler at '${point}' costs the others nothing`, async (context) => {
      const cache = await copyOfBase()
      const server = await start(cache, { KILL_MODELMUX_AT: point })
      context.after(() => server.stop())
      const refused = await customers.ask(server, NEW)
      assert.equal(refused.json.code, 'MODEL_LOAD_FAILED', refused.text)
      for (const one of OLD) await customers.askRight(server, one)
      await server.stop()
      assert.deepEqual(stagedIn(cache), [], 'a killed compiler left something in staging')
      await assertServes(context, cache, [NEW])
    })
  }

  for (const point of ['open', 'run'] as const) {
    it(`of the worker at '${point}' leaves the folder as it was`, async (context) => {
      const cache = await copyOfBase()
      const server = await start(cache, { KILL_MODELMUX_AT: point })
      context.after(() => server.stop())
      assert.notEqual((await customers.ask(server, 1)).status, 200)
      await server.stop()
      assert.deepEqual(problemsIn(cache), [])
      await assertServes(context, cache, [NEW])
    })
  }
})
