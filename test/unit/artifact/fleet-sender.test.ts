import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { filesOf } from '../../../src/artifact/fleet-manifest.ts'
import type { FleetLimits } from '../../../src/artifact/fleet-place.ts'
import { blobKey, FleetTrouble, manifestKey, probeKey } from '../../../src/artifact/fleet-place.ts'
import { FleetSender } from '../../../src/artifact/fleet-sender.ts'
import type { Manifest } from '../../../src/domain/artifact.ts'
import { Circuit } from '../../../src/lib/circuit.ts'
import { type FleetArtifact, fleetArtifact } from '../../support/artifact/fleet-artifact.ts'
import { FLEET_LIMITS, MemoryPlace } from '../../support/artifact/memory-place.ts'
import { ManualClock } from '../../support/manual-clock.ts'

function scene(t: TestContext, limits: Partial<FleetLimits> = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'modelmux-sender-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const place = new MemoryPlace()
  const clock = new ManualClock()
  const artifacts = new Map<string, Manifest>()
  const wrong = new Set<string>()
  const drops: string[] = []
  let held = 0
  const sender = new FleetSender({
    place,
    limits: { ...FLEET_LIMITS, ...limits },
    dir,
    clock,
    circuit: new Circuit({ failures: 3, openMs: 1000 }),
    wrong,
    hold(artifact) {
      const manifest = artifacts.get(artifact)
      if (manifest === undefined) return undefined
      held++
      return { manifest, release: () => void held-- }
    },
    onBytes: () => undefined,
    onSent: () => undefined,
    onDropped: (_artifact, reason) => void drops.push(reason),
  })
  const add = ({ manifest, objects }: FleetArtifact): string => {
    for (const { path, key } of filesOf(manifest)) {
      mkdirSync(dirname(join(dir, path)), { recursive: true })
      writeFileSync(join(dir, path), objects.get(key) ?? '')
    }
    artifacts.set(manifest.artifact, manifest)
    return manifest.artifact
  }
  /** Lets a second pass, after which it sends what it has; reads of files take real time. */
  const sent = async (): Promise<void> => {
    await clock.advance(1000)
    await sender.idle()
    assert.equal(held, 0)
  }
  return {
    place,
    clock,
    artifacts,
    wrong,
    drops,
    sender,
    add,
    sent,
    puts: () => place.calls.filter((one) => one.startsWith('put')),
  }
}

describe('FleetSender', () => {
  it('sends files first and the manifest last, a while after the artifact was made', async (t) => {
    const { place, clock, sender, add, sent, puts } = scene(t)
    const one = fleetArtifact('one')
    const artifact = add(one)
    sender.send(artifact)
    sender.send(artifact)
    await clock.advance(999)
    assert.deepEqual(place.calls, [])
    await sent()
    assert.deepEqual([...place.objects.keys()].toSorted(), [...one.objects.keys()].toSorted())
    for (const [key, content] of one.objects) assert.deepEqual(place.objects.get(key), content)
    assert.equal(puts().at(-1), `put ${manifestKey(artifact)}`)
    assert.equal(puts().length, one.objects.size)
  })

  it('sends nothing that is there: no tensor of another artifact, and nothing at all of one that others sent', async (t) => {
    const { place, sender, add, sent, puts } = scene(t)
    const [one, two] = [fleetArtifact('one'), fleetArtifact('two')]
    sender.send(add(one))
    await sent()
    place.calls.length = 0
    sender.send(add(two))
    await sent()
    assert.ok(!puts().includes(`put ${blobKey(two.manifest.blobs[0]?.digest ?? '')}`))
    assert.equal(puts().length, two.objects.size - 1)
    place.calls.length = 0
    sender.send(one.manifest.artifact)
    await sent()
    assert.deepEqual(place.calls, [`head ${manifestKey(one.manifest.artifact)}`])
  })

  it('sends what was measured later beside what is there', async (t) => {
    const { place, artifacts, sender, add, sent, puts } = scene(t)
    const one = fleetArtifact('one')
    const artifact = add(one)
    sender.send(artifact)
    await sent()
    place.calls.length = 0
    const packed = { openMs: 1, runMs: 1, privateBytes: 1, paysAfterRuns: 5 }
    const measured = {
      isBatchSafe: true,
      batchReason: '',
      privateBytes: 1,
      activationBytes: [1, 2],
      runMs: 1,
      mappings: 1,
    } as const
    artifacts.set(artifact, { ...one.manifest, probe: { ...measured, packed } })
    sender.send(artifact)
    await sent()
    assert.deepEqual(puts(), [`put ${probeKey(artifact)}`])
  })

  it('replaces what was found to be wrong, and what is cut short', async (t) => {
    const { place, wrong, sender, add, sent } = scene(t)
    const one = fleetArtifact('one')
    const artifact = add(one)
    const [first, second] = one.manifest.blobs.map(({ digest }) => blobKey(digest))
    assert.ok(first !== undefined && second !== undefined)
    place.objects.set(manifestKey(artifact), Buffer.from('{}'))
    place.objects.set(first, Buffer.alloc(30_000))
    place.objects.set(second, Buffer.alloc(3))
    wrong.add(manifestKey(artifact)).add(first)
    sender.send(artifact)
    await sent()
    for (const [key, content] of one.objects) assert.deepEqual(place.objects.get(key), content)
    assert.equal(wrong.size, 0)
  })

  it('tries again while the place does not answer, and drops what it cannot send', async (t) => {
    const { place, clock, drops, sender, add, sent } = scene(t, { retryMs: 5000 })
    const artifact = add(fleetArtifact('one'))
    place.trouble = new FleetTrouble('unavailable', 'no answer')
    sender.send(artifact)
    await clock.advance(1000)
    assert.equal(place.calls.length, 1)
    await clock.advance(5000)
    assert.equal(place.calls.length, 2)
    place.trouble = undefined
    await clock.advance(5000)
    await sender.idle()
    assert.equal(place.keys('artifacts/').length, 2)
    place.trouble = new FleetTrouble('unavailable', 'no answer')
    sender.send(add(fleetArtifact('two')))
    for (let tries = 1; tries <= 5; tries++) await clock.advance(5000)
    await sent()
    assert.deepEqual(drops, ['failed'])
  })

  it('tries once each of what comes after one was given up, until one is sent', async (t) => {
    const { place, clock, drops, sender, add, sent } = scene(t, { retryMs: 5000 })
    place.trouble = new FleetTrouble('unavailable', 'no answer')
    for (const name of ['one', 'two', 'three']) sender.send(add(fleetArtifact(name)))
    await clock.advance(1000)
    for (let tries = 2; tries <= 5; tries++) await clock.advance(5000)
    await sender.idle()
    assert.equal(place.calls.length, 7)
    assert.deepEqual(drops, ['failed', 'failed', 'failed'])
    place.trouble = undefined
    sender.send(add(fleetArtifact('four')))
    await sent()
    place.trouble = new FleetTrouble('unavailable', 'no answer')
    sender.send(add(fleetArtifact('five')))
    await clock.advance(1000)
    place.trouble = undefined
    await clock.advance(5000)
    await sender.idle()
    assert.equal(drops.length, 3)
  })

  it('keeps a line that ends, and drops what is too large, what is gone, and what waits when it is closed', async (t) => {
    const { place, drops, sender, add, sent } = scene(t, { maxQueued: 2, maxArtifactBytes: 60_000 })
    const large = fleetArtifact('large', { graph: { digest: 'a'.repeat(64), bytes: 70_000 } })
    sender.send(add(large))
    sender.send('gone')
    sender.send(add(fleetArtifact('three')))
    assert.deepEqual(drops, ['queue-full'])
    await sent()
    assert.deepEqual(drops, ['queue-full', 'too-large'])
    assert.deepEqual(place.calls, [])
    sender.send(add(fleetArtifact('four')))
    await sender.close()
    await sender.close()
    sender.send(add(fleetArtifact('five')))
    assert.deepEqual(drops, ['queue-full', 'too-large', 'closed'])
    assert.deepEqual(place.calls, [])
  })
})
