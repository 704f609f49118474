/** Several processes' worth of rooms on one cache folder: what passes between them when one leaves. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmodSync, truncateSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { modelClass } from '../../loadtest/models/index.ts'
import type { SharedArtifactsOptions } from '../../src/artifact/shared-artifacts.ts'
import { SharedArtifacts } from '../../src/artifact/shared-artifacts.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { StoreFixture } from '../support/artifact/store-fixture.ts'
import { until } from '../support/eventually.ts'
import { ManualClock } from '../support/manual-clock.ts'

const XS = modelClass('XS')
const xs = (customer: number) => XS.build({ customer, family: 'full', seed: 1 })

async function shared(
  t: TestContext,
  fixture: StoreFixture,
  options: Partial<SharedArtifactsOptions> = {},
): Promise<SharedArtifacts> {
  await mkdir(fixture.cache, { recursive: true })
  const room = await SharedArtifacts.open({
    dir: fixture.cache,
    diskBytes: 2 ** 40,
    clock: systemClock,
    version: 'test',
    random: Math.random,
    scrubBytesPerSecond: 0,
    onEvent: (name, fields) => void fixture.events.push({ name, fields }),
    ...options,
  })
  t.after(() => room.close())
  return room
}

test('what a guest holds stays until its connection ends, and no longer', async (t) => {
  const fixture = new StoreFixture(t)
  const clock = new ManualClock({ wall: Date.now() })
  const owner = await shared(t, fixture, { diskBytes: 1, clock })
  const guest = await shared(t, fixture)
  assert.deepEqual([owner.role, guest.role], ['owner', 'guest'])
  const source = await fixture.source(xs(1))
  const { manifest } = await guest.compile(source)
  guest.hold(manifest.artifact)
  await guest.find('anything')
  // What it was told of just now is kept for it as well, for a while.
  await clock.advance(60_000)
  await owner.store?.collect()
  assert.notEqual(await owner.find(source.sourceId), undefined, 'the guest uses it')
  await guest.close()
  await until('the owner knows that the guest is gone', () =>
    fixture.events.some(({ name }) => name === 'cache.guest-left'),
  )
  await owner.store?.collect()
  assert.equal(await owner.find(source.sourceId), undefined, 'nobody uses it')
})

test('a guest that waits for an owner that does not answer can be closed', async (t) => {
  const fixture = new StoreFixture(t)
  const owner = await shared(t, fixture)
  const guest = await shared(t, fixture)
  const isAsked = Promise.withResolvers<void>()
  const silent = createServer((socket) => void socket.once('data', () => isAsked.resolve()))
  t.after(() => silent.close())
  await once(silent.listen(join(fixture.cache, 'owner', '2.sock')), 'listening')
  await owner.close()
  await isAsked.promise
  await guest.close()
  assert.equal(guest.role, undefined)
})

test('a guest that takes over goes on holding what it held, and what was asked meanwhile is answered', async (t) => {
  const fixture = new StoreFixture(t)
  const owner = await shared(t, fixture)
  const clock = new ManualClock({ wall: Date.now() })
  const guest = await shared(t, fixture, { diskBytes: 1, clock })
  const source = await fixture.source(xs(1))
  const { manifest } = await guest.compile(source)
  const release = guest.hold(manifest.artifact)
  const other = await fixture.source(xs(2))
  const closing = owner.close()
  const compiling = guest.compile(other)
  await until('the guest owns the folder', async () => {
    await clock.advance(100)
    return guest.role === 'owner'
  })
  await closing
  assert.equal((await compiling).manifest.form, 'mapped')
  // By now other guests would have said what they hold.
  await clock.advance(10_000)
  // The first may be one that began before it might evict.
  await guest.store?.collect()
  await guest.store?.collect()
  assert.equal(await guest.checkFiles(manifest), true, 'a held artifact went with the change of owners')
  assert.equal(await guest.find(other.sourceId), undefined, 'nothing else was evicted')
  release()
})

test('a guest hears of files that turned out to be damaged', async (t) => {
  const fixture = new StoreFixture(t)
  const owner = await shared(t, fixture)
  const heard: string[] = []
  const guest = await shared(t, fixture, { onCorrupt: (paths) => void heard.push(...paths) })
  const { manifest } = await guest.compile(await fixture.source(xs(1)))
  const digest = manifest.blobs[0]?.digest ?? ''
  const blob = `blobs/${digest.slice(0, 2)}/${digest}`
  chmodSync(join(fixture.cache, blob), 0o644)
  truncateSync(join(fixture.cache, blob), 10)
  assert.equal(await owner.checkFiles(manifest), false)
  await until('the guest heard', () => heard.length > 0)
  assert.deepEqual(heard, [blob])
})
