/** Several servers on one cache folder: one owns it, the others ask it, and its death costs nobody an answer. */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { after, before, beforeEach, describe, it } from 'node:test'
import { Customers } from '../support/customers.ts'
import { eventually } from '../support/eventually.ts'
import { compiledNames } from '../support/server-logs.ts'
import type { ServeOptions } from '../support/server-process.ts'
import { runModelmux, ServerProcess } from '../support/server-process.ts'

const CUSTOMERS = 8

let customers: Customers
let root: string
let cache: string

before(async () => {
  customers = await Customers.make(CUSTOMERS)
  root = await mkdtemp(join(tmpdir(), 'modelmux-shared-'))
})
beforeEach(async () => {
  cache = join(await mkdtemp(join(root, 'case-')), 'cache')
})
after(async () => {
  await customers.remove()
  await rm(root, { recursive: true })
})

async function started(context: TestContext, options: Partial<ServeOptions> = {}): Promise<ServerProcess> {
  const server = await ServerProcess.start({
    models: customers.folder.dir,
    cache,
    args: ['--workers', '1'],
    config: { store: { settleMs: 0 } },
    ...options,
  })
  context.after(() => server.stop())
  await server.logs('registry.scanned')
  return server
}

async function kill(server: ServerProcess): Promise<void> {
  server.signal('SIGKILL')
  await server.exited
}

/** All that they logged has arrived after it. */
async function stopAll(servers: readonly ServerProcess[]): Promise<void> {
  await Promise.all(servers.map((server) => server.stop()))
}

function roles(...servers: readonly ServerProcess[]): unknown[] {
  return servers.map((server) => server.logged('cache.joined').at(-1)?.role)
}

describe('servers on one cache folder', () => {
  it('compile a model once for all, and answer each on its own', async (context) => {
    const owner = await started(context)
    const guests = [await started(context), await started(context)]
    const all = [owner, ...guests]
    assert.deepEqual(roles(...all), ['owner', 'guest', 'guest'])
    await Promise.all(all.flatMap((server) => [1, 2, 3, 4].map((one) => customers.askRight(server, one))))
    const ids = await Promise.all(
      all.map(async (server) => (await customers.ask(server, 1)).headers['x-modelmux-replica']),
    )
    assert.equal(new Set(ids).size, 3)
    const of = async (server: ServerProcess) => (await server.metrics()).get('modelmux_artifacts{form="mapped"}')
    assert.deepEqual(await Promise.all(all.map(of)), [4, undefined, undefined])
    await stopAll(all)
    assert.deepEqual(
      compiledNames(...all),
      [1, 2, 3, 4].map((one) => customers.nameOf(one)),
    )
    assert.deepEqual(compiledNames(...guests), [], 'a guest compiled by itself')
  })

  it('go on when their owner is killed: one of them takes the folder over and compiles for all', async (context) => {
    const owner = await started(context)
    const guests = [await started(context), await started(context)]
    for (const server of [owner, ...guests]) await customers.askRight(server, 1)
    await customers.askRight(owner, 2)
    const before = await readdir(cache)
    // Under way at the owner while it dies.
    const asked = guests.flatMap((server) => [3, 4, 5].map((one) => customers.askRight(server, one)))
    await owner.logs('artifact.compiled', ({ key }) => String(key).startsWith(customers.nameOf(3)))
    await kill(owner)
    await Promise.all(asked)
    await eventually('one of the guests owns the folder', () => roles(...guests).find((role) => role === 'owner'))
    assert.deepEqual(new Set(roles(...guests)), new Set(['guest', 'owner']))
    for (const server of guests) assert.equal(await customers.askRight(server, 1), 'hit')
    for (const server of guests) assert.equal(await customers.askRight(server, 2), 'load')
    await Promise.all(guests.map((server) => customers.askRight(server, 6)))
    const now = new Set(await readdir(cache))
    await stopAll(guests)
    const names = compiledNames(...guests)
    assert.equal(new Set(names).size, names.length, `compiled twice: ${names.join(', ')}`)
    for (const one of [1, 2]) assert.ok(!names.includes(customers.nameOf(one)), 'what was there was compiled again')
    assert.deepEqual(
      before.filter((name) => !now.has(name)),
      [],
      'somebody deleted what was there',
    )
  })

  it('hand the folder on when their owner is stopped, and take the old owner back as a guest', async (context) => {
    const first = await started(context)
    const second = await started(context)
    await customers.askRight(second, 1)
    await first.stop()
    await second.logs('cache.joined', ({ role }) => role === 'owner')
    await customers.askRight(second, 2)
    const third = await started(context)
    assert.deepEqual(roles(second, third), ['owner', 'guest'])
    assert.equal(await customers.askRight(third, 1), 'load')
    assert.equal(await customers.askRight(third, 2), 'load')
  })

  it('do not lose the folder when one of many is killed again and again', async (context) => {
    const servers = await Promise.all([started(context), started(context), started(context), started(context)])
    for (let left = servers.length, one = 1; left > 1; left--, one++) {
      await Promise.all(servers.map((server) => customers.askRight(server, one)))
      const owners = servers.filter((server) => roles(server)[0] === 'owner')
      assert.equal(owners.length, 1)
      for (const owner of owners) {
        await kill(owner)
        servers.splice(servers.indexOf(owner), 1)
      }
      await eventually('one of the others owns the folder', () =>
        servers.find((server) => roles(server)[0] === 'owner'),
      )
    }
  })

  it('refuse one with other compile options, and harm neither', async (context) => {
    const owner = await started(context)
    const args = ['serve', '--models', customers.folder.dir, '--cache', cache, '--port', '0']
    const { code, stdout, stderr } = await runModelmux(args, { env: { MODELMUX_ARTIFACT_MIN_BLOB_BYTES: '4096' } })
    assert.deepEqual([code, stdout], [1, ''])
    assert.match(
      stderr,
      new RegExp(`^modelmux: .*${cache} is in use by another.*blobs=65536.*blobs=4096.*--cache`, 'm'),
    )
    assert.doesNotMatch(stderr, /\n\s+at /)
    await customers.askRight(owner, 1)
  })
})
