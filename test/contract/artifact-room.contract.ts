/** What a process may ask of a cache folder's artifacts, whether it owns the folder or is a guest there. */
import assert from 'node:assert/strict'
import { chmodSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { describe, it } from 'node:test'
import { modelClass, Rng } from '../../loadtest/models/index.ts'
import type { ArtifactRoom } from '../../src/artifact/artifact-room.ts'
import type { ArtifactStore, ArtifactStoreOptions } from '../../src/artifact/artifact-store.ts'
import type { Manifest } from '../../src/domain/artifact.ts'
import { assertAnswers, StoreFixture } from '../support/artifact/store-fixture.ts'

/** A room, and the store of the folder's owner behind it. */
export interface RoomStage {
  readonly room: ArtifactRoom
  readonly owner: ArtifactStore
}

const XS = modelClass('XS')

function customer(one: number) {
  const recipe = { customer: one, family: 'full', seed: 1 } as const
  return {
    model: XS.build(recipe),
    inputs: (rng: Rng, batch: number) => XS.sampleInputs(rng, batch),
    expected: (inputs: Parameters<typeof XS.expected>[1]) => XS.expected(recipe, inputs),
  }
}

export function artifactRoomContract(
  label: string,
  setStage: (t: TestContext, fixture: StoreFixture, options: Partial<ArtifactStoreOptions>) => Promise<RoomStage>,
): void {
  async function staged(t: TestContext, options: Partial<ArtifactStoreOptions> = {}) {
    const fixture = new StoreFixture(t)
    const { room, owner } = await setStage(t, fixture, options)
    const compiles = () =>
      fixture.events.filter(({ name, fields }) => name === 'artifact.compiled' && fields.optimiseMs !== undefined)
        .length
    return { fixture, room, owner, compiles }
  }

  function blobFile(fixture: StoreFixture, manifest: Manifest): string {
    const digest = manifest.blobs[0]?.digest ?? ''
    return join(fixture.cache, 'blobs', digest.slice(0, 2), digest)
  }

  describe(`artifact room contract: ${label}`, () => {
    it('compiles a source once, finds it from then on, and names a file that answers', async (t) => {
      const { fixture, room, compiles } = await staged(t)
      const source = await fixture.source(customer(1).model)
      assert.equal(await room.find(source.sourceId), undefined)
      const compiled = await Promise.all([room.compile(source), room.compile(source), room.compile(source)])
      assert.equal(compiles(), 1)
      const [{ manifest }] = compiled
      for (const other of compiled) assert.deepEqual(other.manifest, manifest)
      assert.deepEqual(await room.find(source.sourceId), manifest)
      assert.deepEqual((await room.compile(source)).timings, {})
      assert.equal(room.fileOf(manifest), join(fixture.cache, manifest.file))
      await assertAnswers(room, manifest, customer(1))
    })

    it('ends a wait by its signal, and not the work', async (t) => {
      const { fixture, room } = await staged(t)
      const asked = Promise.withResolvers<void>()
      const answer = Promise.withResolvers<boolean>()
      const isUnchanged = () => {
        asked.resolve()
        return answer.promise
      }
      const source = await fixture.source(customer(1).model, {}, { isUnchanged })
      const leaving = new AbortController()
      const left = room.compile(source, leaving.signal)
      const stays = room.compile(source)
      await asked.promise
      leaving.abort(new Error('the client left'))
      await assert.rejects(left, /the client left/)
      answer.resolve(true)
      assert.equal((await stays).manifest.form, 'mapped')
    })

    it('tells whole what is wrong with a model', async (t) => {
      const { fixture, room } = await staged(t)
      const source = await fixture.source(new TextEncoder().encode('this is no model'))
      await assert.rejects(room.compile(source), { name: 'GatewayError', code: 'ARTIFACT_INVALID' })
      await assert.rejects(room.inspect(source), { name: 'GatewayError', code: 'ARTIFACT_INVALID' })
    })

    it('throws away what was compiled of files that changed meanwhile', async (t) => {
      const { fixture, room } = await staged(t)
      const source = await fixture.source(customer(1).model, {}, { isUnchanged: () => Promise.resolve(false) })
      await assert.rejects(room.compile(source), { code: 'MODEL_LOADING' })
      assert.equal(await room.find(source.sourceId), undefined)
    })

    it('tells a signature without compiling, and measures in the background', async (t) => {
      const { fixture, room, compiles } = await staged(t)
      const source = await fixture.source(customer(1).model)
      const { inputs } = await room.inspect(source)
      assert.equal(compiles(), 0)
      const { manifest } = await room.compile(source)
      assert.deepEqual(manifest.signature.inputs, inputs)
      const probed = await room.probe(manifest.artifact, source)
      assert.equal(probed.probe?.isBatchSafe, true)
      assert.deepEqual(await room.find(source.sourceId), probed)
    })

    it('holds an artifact against the original on a request of a client', async (t) => {
      const { fixture, room } = await staged(t)
      const source = await fixture.source(customer(1).model)
      const { manifest } = await room.compile(source)
      const inputs = customer(1)
        .inputs(new Rng('recheck'), 1)
        .map(({ name, shape, datatype, data }) => ({ name, shape, datatype, data: Array.from(data as Float32Array) }))
      const checked = await room.recheck(source, { body: Buffer.from(JSON.stringify({ inputs })) })
      assert.deepEqual([checked.artifact, checked.form, checked.check], [manifest.artifact, 'mapped', 'given'])
    })

    it('pages whole artifacts in, and finds a damaged one, which is made again', async (t) => {
      const { fixture, room } = await staged(t)
      const source = await fixture.source(customer(1).model)
      const { manifest } = await room.compile(source)
      assert.equal(await room.checkFiles(manifest), true)
      assert.equal(typeof (await room.pageIn(manifest)).readBytes, 'number')
      assert.deepEqual(await room.verify(manifest.artifact), [])
      chmodSync(blobFile(fixture, manifest), 0o644)
      truncateSync(blobFile(fixture, manifest), 100)
      await assert.rejects(room.pageIn(manifest), { code: 'MODEL_LOADING' })
      assert.equal(await room.find(source.sourceId), undefined)
      const again = (await room.compile(source)).manifest
      chmodSync(blobFile(fixture, again), 0o644)
      writeFileSync(blobFile(fixture, again), 'scribble')
      assert.deepEqual(await room.verify(again.artifact), [blobFile(fixture, again).slice(fixture.cache.length + 1)])
      assert.equal(await room.checkFiles(again), false)
    })

    it('keeps what is held from being evicted, until it is released', async (t) => {
      const { fixture, room, owner } = await staged(t, { diskBytes: 1 })
      const source = await fixture.source(customer(1).model)
      const { manifest } = await room.compile(source)
      const releases = [room.hold(manifest.artifact), room.hold(manifest.artifact)]
      releases[0]?.()
      releases[0]?.()
      // A question of the same room comes after its holds.
      await room.find(source.sourceId)
      await owner.collect()
      assert.notEqual(await room.find(source.sourceId), undefined, 'a held artifact went')
      assert.equal(await room.checkFiles(manifest), true)
    })

    it('is closed once, and asked in vain from then on', async (t) => {
      const { fixture, room } = await staged(t)
      const source = await fixture.source(customer(1).model)
      await room.close()
      await room.close()
      await assert.rejects(room.compile(source))
    })
  })
}
