/** Both ways to a cache folder's artifacts: owning it, and asking its owner. */
import assert from 'node:assert/strict'
import { ArtifactGuest } from '../../src/artifact/artifact-guest.ts'
import { ArtifactHost } from '../../src/artifact/artifact-host.ts'
import { FolderLock } from '../../src/artifact/folder-lock.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { artifactRoomContract } from './artifact-room.contract.ts'

artifactRoomContract('owner', async (_t, fixture, options) => {
  const owner = await fixture.open(options)
  return { room: owner, owner }
})

artifactRoomContract('guest', async (t, fixture, options) => {
  const owner = await fixture.open(options)
  const lock = await FolderLock.take(fixture.cache)
  assert.ok(lock !== undefined)
  t.after(() => lock.release())
  const host = new ArtifactHost({ store: owner, terms: {}, clock: systemClock, onEvent: () => {} })
  lock.onGuest((socket) => host.accept(socket))
  const { signal } = new AbortController()
  const room = await ArtifactGuest.join({ dir: fixture.cache, terms: {}, signal, onCorrupt: () => {} })
  assert.ok(room !== undefined)
  return { room, owner }
})
