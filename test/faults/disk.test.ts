/** Disks that are full, read-only, or give other bytes than they were given; folders that were copied or restored. */
import assert from 'node:assert/strict'
import { chmodSync, cpSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { after, before, describe, it } from 'node:test'
import { manifestsIn, problemsIn } from '../support/artifact/folder-facts.ts'
import { Customers } from '../support/customers.ts'
import { until } from '../support/eventually.ts'
import { mountProblem, PrivateMount } from '../support/private-mount.ts'
import { compiledNames } from '../support/server-logs.ts'
import type { ServeOptions } from '../support/server-process.ts'
import { runModelmux, ServerProcess } from '../support/server-process.ts'

/** Of some 80 KB each, which share nothing. */
const CUSTOMERS = 24
const skip = mountProblem() ?? false

let customers: Customers
let root: string
/** A cache folder with the first two models, to be copied. */
let base: string

before(async () => {
  customers = await Customers.make(CUSTOMERS, 'full')
  root = await mkdtemp(join(tmpdir(), 'modelmux-disk-'))
  base = join(root, 'base')
  const server = await start({ cache: base })
  for (const one of [1, 2]) await customers.askRight(server, one)
  await server.stop()
})
after(async () => {
  await customers.remove()
  await rm(root, { recursive: true })
})

async function start(options: Partial<ServeOptions> & { readonly cache: string }): Promise<ServerProcess> {
  const server = await ServerProcess.start({
    models: customers.folder.dir,
    args: ['--workers', '1'],
    config: {
      store: { settleMs: 0 },
      // No reserve, so that the disk itself says when it is full.
      cache: { minFreeDiskBytes: 0, minResidencyMs: 0, failure: { baseMs: 10, maxMs: 50 } },
      artifact: { probe: false },
      telemetry: { journalBytes: 0 },
    },
    ...options,
  })
  await server.logs('registry.scanned')
  return server
}

async function started(
  context: TestContext,
  options: Partial<ServeOptions> & { readonly cache: string },
): Promise<ServerProcess> {
  const server = await start(options)
  context.after(() => server.stop())
  return server
}

async function copyOfBase(): Promise<string> {
  const cache = await mkdtemp(join(root, 'case-'))
  cpSync(base, cache, { recursive: true })
  return cache
}

async function mounted(context: TestContext, size: string): Promise<PrivateMount> {
  const mount = await PrivateMount.make(size)
  context.after(() => mount.close())
  return mount
}

async function unload(server: ServerProcess, one: number): Promise<void> {
  const answer = await server.client.post(`/v2/repository/models/${customers.nameOf(one)}/unload`)
  assert.equal(answer.status, 200, answer.text)
}

async function strikes(server: ServerProcess): Promise<number> {
  let sum = 0
  for (const [name, value] of await server.metrics())
    if (name.startsWith('modelmux_strikes_total') || name === 'modelmux_models_quarantined') sum += value
  return sum
}

/** A blob of a customer's model in the folder. */
async function blobOf(cache: string, server: ServerProcess, one: number): Promise<string> {
  // The log may come later than the answer.
  const compiled = await server.logs('artifact.compiled', ({ key }) =>
    String(key).startsWith(`${customers.nameOf(one)}:`),
  )
  const manifest = manifestsIn(cache).find(({ artifact }) => artifact === compiled.artifact)
  const digest = manifest?.blobs[0]?.digest ?? ''
  assert.notEqual(digest, '')
  return join(cache, 'blobs', digest.slice(0, 2), digest)
}

describe('a full disk', { skip }, () => {
  it('takes new models by evicting the least used, leaves what is open alone, refuses with 507 when nothing can go, and recovers', async (context) => {
    const mount = await mounted(context, '1m')
    const cache = join(mount.dir, 'cache')
    const server = await started(context, { cache, prefix: mount.prefix })
    await customers.askRight(server, 1)
    // One after the other, nothing in use but the first: far more than the disk holds.
    for (let one = 2; one <= CUSTOMERS; one++) {
      await customers.askRight(server, one)
      assert.equal(await customers.askRight(server, 1), 'hit')
      await unload(server, one)
    }
    await server.logs('artifacts.evicted')
    // All that come stay in use, until the disk is full of those.
    const open = [1]
    let refused = 0
    for (let one = 2; one <= CUSTOMERS && refused === 0; one++) {
      const answer = await customers.ask(server, one)
      if (answer.status === 200) open.push(one)
      else {
        assert.deepEqual([answer.status, answer.json.code], [507, 'CAPACITY_EXHAUSTED'], answer.text)
        assert.match(String(answer.json.error), /disk of the cache folder is full/)
        assert.notEqual(answer.headers['retry-after'], undefined)
        refused = one
      }
    }
    assert.ok(refused > 2, 'the disk never was full')
    for (const one of open) assert.equal(await customers.askRight(server, one), 'hit')
    assert.deepEqual(problemsIn(mount.outside(cache)), [], 'a full disk left something half there')
    mount.remount('size=16m')
    await until('the model that was refused answers', async () => (await customers.ask(server, refused)).status === 200)
    await customers.askRight(server, refused)
    assert.equal(await strikes(server), 0)
    const forms = await server.metrics()
    assert.equal(forms.get('modelmux_artifacts{form="plain"}') ?? 0, 0, 'a full disk made a model plain')
  })
})

describe('a read-only cache folder', { skip }, () => {
  it('serves what is compiled and refuses to compile, saying why', async (context) => {
    const mount = await mounted(context, '64m')
    const cache = join(mount.dir, 'cache')
    cpSync(base, mount.outside(cache), { recursive: true })
    mount.remount('ro')
    const server = await started(context, { cache, prefix: mount.prefix })
    assert.equal(server.logged('cache.joined')[0]?.role, 'reader')
    for (const one of [1, 2]) await customers.askRight(server, one)
    const refused = await customers.ask(server, 3)
    assert.deepEqual([refused.status, refused.json.code], [507, 'CAPACITY_EXHAUSTED'])
    assert.match(String(refused.json.error), /cache folder is read-only.*cache\.dir/)
    for (const one of [1, 2]) assert.equal(await customers.askRight(server, one), 'hit')
    // Another one may read it too.
    const second = await started(context, { cache, prefix: mount.prefix })
    await customers.askRight(second, 1)
    await server.stop()
    assert.deepEqual(compiledNames(server), [])
  })

  it('that holds nothing ends the start with the reason', async (context) => {
    const mount = await mounted(context, '1m')
    mount.remount('ro')
    const args = ['serve', '--models', customers.folder.dir, '--cache', mount.dir, '--port', '0']
    const { code, stderr } = await runModelmux(args, { prefix: mount.prefix })
    assert.equal(code, 1)
    assert.match(stderr, /^modelmux: the cache folder .* is read-only and holds no compiled models;.*--cache/m)
    assert.doesNotMatch(stderr, /\n\s+at /)
  })
})

describe('a cache folder with damage', () => {
  it('starts over a scribbled manifest, compiles that model again and no other', async (context) => {
    const cache = await copyOfBase()
    const [manifest] = manifestsIn(cache)
    writeFileSync(join(cache, `${manifest?.artifact}.json`), 'scribble'.repeat(100))
    const server = await started(context, { cache })
    for (const one of [1, 2]) await customers.askRight(server, one)
    assert.equal(await strikes(server), 0)
    await server.stop()
    assert.equal(server.logged('artifacts.manifest-unusable').length, 1)
    assert.equal(compiledNames(server).length, 1)
    assert.deepEqual(problemsIn(cache), [])
  })

  const DAMAGES = {
    scribbled(path: string): void {
      writeFileSync(path, readFileSync(path).fill(0xff))
    },
    truncated(path: string): void {
      truncateSync(path, 1000)
    },
  }
  for (const [what, damage] of Object.entries(DAMAGES)) {
    it(`finds a ${what} blob before it opens it, and compiles the model again without a strike`, async (context) => {
      const cache = join(await mkdtemp(join(root, 'case-')), 'cache')
      const server = await started(context, { cache })
      for (const one of [1, 2]) await customers.askRight(server, one)
      const blob = await blobOf(cache, server, 1)
      await unload(server, 1)
      chmodSync(blob, 0o644)
      damage(blob)
      await until('the model answers', async () => (await customers.ask(server, 1)).status === 200)
      await customers.askRight(server, 1)
      assert.equal(await customers.askRight(server, 2), 'hit')
      assert.equal(await strikes(server), 0)
      await server.stop()
      assert.equal(server.logged('artifact.corrupt').length, 1)
      assert.deepEqual(
        compiledNames(server),
        [1, 1, 2].map((one) => customers.nameOf(one)),
      )
      assert.deepEqual(problemsIn(cache), [])
    })
  }
})

describe('a cache folder that was put elsewhere', () => {
  it('is used as it is after a copy', async (context) => {
    const server = await started(context, { cache: await copyOfBase() })
    for (const one of [1, 2]) await customers.askRight(server, one)
    await server.stop()
    assert.deepEqual(compiledNames(server), [])
  })

  it('is used as far as it goes when it is older than the models, which were restored too', async (context) => {
    // The same bytes in new files: other inodes, other times.
    const restored = await Customers.make(3, 'full')
    context.after(() => restored.remove())
    const server = await started(context, { cache: await copyOfBase(), models: restored.folder.dir })
    for (const one of [1, 2, 3]) await restored.askRight(server, one)
    await server.stop()
    assert.deepEqual(compiledNames(server), [restored.nameOf(3)])
  })
})
