import assert from 'node:assert/strict'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import type { FleetFetchParts } from '../../../src/artifact/fleet-fetch.ts'
import { FleetFetch } from '../../../src/artifact/fleet-fetch.ts'
import { filesOf } from '../../../src/artifact/fleet-manifest.ts'
import { blobKey, FleetTrouble, manifestKey, ownKey } from '../../../src/artifact/fleet-place.ts'
import { type FleetArtifact, fleetArtifact } from '../../support/artifact/fleet-artifact.ts'
import { FLEET_LIMITS, MemoryPlace } from '../../support/artifact/memory-place.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const NEVER = new AbortController().signal

function scene(t: TestContext, parts: Partial<FleetFetchParts> = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'modelmux-fleet-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  mkdirSync(join(dir, 'blobs'))
  const place = new MemoryPlace()
  const clock = new ManualClock()
  const here = new Set<string>()
  const checked: string[] = []
  const fetch = new FleetFetch({
    place,
    limits: FLEET_LIMITS,
    dir,
    minFreeDiskBytes: 0,
    clock,
    whole: (files) => Promise.resolve(new Set(files.map(({ path }) => path).filter((path) => here.has(path)))),
    checkGraph: ({ file }) => {
      checked.push(file)
      return Promise.resolve()
    },
    onBytes: () => undefined,
    ...parts,
  })
  return {
    dir,
    place,
    clock,
    here,
    checked,
    bring: (artifact: string, signal = NEVER) => fetch.bring(artifact, 'acme', signal),
    /** Files of the folder, staging left out. */
    files: () =>
      readdirSync(dir, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name).slice(dir.length + 1)),
  }
}

function put(place: MemoryPlace, { objects }: FleetArtifact): void {
  for (const [key, content] of objects) place.objects.set(key, content)
}

describe('FleetFetch', () => {
  it('brings what a manifest names, and finds nothing where there is none', async (t) => {
    for (const form of ['mapped', 'plain'] as const) {
      const { dir, place, bring, checked, files } = scene(t)
      const one = fleetArtifact('one', { form })
      assert.equal(await bring(one.manifest.artifact), undefined)
      put(place, one)
      const brought = await bring(one.manifest.artifact)
      assert.deepEqual(brought?.manifest, one.manifest)
      const wanted = filesOf(one.manifest)
      assert.deepEqual(files().toSorted(), wanted.map(({ path }) => path).toSorted())
      for (const { path, key } of wanted) {
        assert.deepEqual(readFileSync(join(dir, path)), one.objects.get(key))
        assert.equal(statSync(join(dir, path)).mode & 0o777, 0o444)
      }
      assert.deepEqual(checked, form === 'mapped' ? [one.manifest.file] : [])
      assert.deepEqual(readdirSync(join(dir, 'tmp')), [])
    }
  })

  it('fetches no tensor that is here, and renews the time by which rubbish is told', async (t) => {
    const { dir, place, here, bring } = scene(t)
    const one = fleetArtifact('one')
    put(place, one)
    const [shared] = one.manifest.blobs
    assert.ok(shared !== undefined)
    const path = join(dir, blobKey(shared.digest))
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, one.objects.get(blobKey(shared.digest)) ?? '')
    here.add(blobKey(shared.digest))
    chmodSync(path, 0o644)
    const brought = await bring(one.manifest.artifact)
    assert.equal(brought?.fetchedFiles, 2)
    assert.ok(!place.calls.includes(`read ${blobKey(shared.digest)}`))
    assert.equal(statSync(path).mode & 0o777, 0o444)
  })

  it('believes no object that is not what its name says, and leaves nothing of the artifact', async (t) => {
    const one = fleetArtifact('one')
    const { artifact, graph, blobs } = one.manifest
    const blob = blobKey(blobs[0]?.digest ?? '')
    const own = ownKey(artifact, graph.digest)
    const manifest = manifestKey(artifact)
    const flipped = (key: string): Buffer => {
      const content = Buffer.from(one.objects.get(key) ?? '')
      content[3] = (content[3] ?? 0) ^ 1
      return content
    }
    const damages: readonly (readonly [string, string, Buffer | undefined])[] = [
      ['a flipped bit', blob, flipped(blob)],
      ['a flipped bit of the graph', own, flipped(own)],
      ['a short blob', blob, Buffer.alloc(10)],
      ['a blob that is gone', blob, undefined],
      ['a graph that is gone', own, undefined],
      ['half a manifest', manifest, (one.objects.get(manifest) ?? Buffer.of()).subarray(0, 100)],
      ['an empty manifest', manifest, Buffer.of()],
      ['a huge manifest', manifest, Buffer.alloc(17 * 2 ** 20, ' ')],
      [
        "another's manifest",
        manifest,
        fleetArtifact('other').objects.get(manifestKey(fleetArtifact('other').manifest.artifact)),
      ],
    ]
    for (const [what, key, content] of damages) {
      const { dir, place, bring, files } = scene(t)
      put(place, one)
      if (content === undefined) place.objects.delete(key)
      else place.objects.set(key, content)
      await assert.rejects(bring(artifact), (error) => {
        assert.ok(error instanceof FleetTrouble, what)
        assert.deepEqual([error.kind, error.key], [content === undefined ? 'missing' : 'wrong', key], what)
        return true
      })
      assert.ok(!existsSync(join(dir, one.manifest.file)), what)
      assert.ok(
        files().every((path) => path.startsWith('blobs/')),
        what,
      )
    }
  })

  it('takes the graph away again that is not what its manifest says', async (t) => {
    const refused = new FleetTrouble('wrong', 'its graph names other files')
    const { dir, place, bring } = scene(t, { checkGraph: () => Promise.reject(refused) })
    const one = fleetArtifact('one')
    put(place, one)
    await assert.rejects(bring(one.manifest.artifact), refused)
    assert.ok(!existsSync(join(dir, one.manifest.file)))
  })

  it('fetches nothing of an artifact that is larger than is allowed', async (t) => {
    const { place, bring } = scene(t, { limits: { ...FLEET_LIMITS, maxArtifactBytes: 1000 } })
    const one = fleetArtifact('one')
    put(place, one)
    await assert.rejects(bring(one.manifest.artifact), { kind: 'wrong' })
    assert.deepEqual(place.calls, [
      `head ${manifestKey(one.manifest.artifact)}`,
      `read ${manifestKey(one.manifest.artifact)}`,
    ])
  })

  it('gives up a look that takes too long, and a fetch by what there is to fetch', async (t) => {
    const limits = { ...FLEET_LIMITS, lookupMs: 100, deadlineMs: 1000, deadlineMsPerMiB: 1024 }
    const one = fleetArtifact('one')
    for (const [stuck, ms] of [
      ['manifest', 100],
      ['blobs/', 1049],
    ] as const) {
      const { place, clock, bring } = scene(t, { limits })
      put(place, one)
      place.isStuck = (key) => key.includes(stuck)
      const bringing = bring(one.manifest.artifact)
      const late = assert.rejects(bringing, { kind: 'late' })
      await place.asked(stuck)
      await clock.advance(ms - 1)
      assert.equal(clock.pendingTimers, 1)
      await clock.advance(1)
      await late
      assert.equal(clock.pendingTimers, 0)
    }
  })

  it('ends with its signal, and takes its staging with it', async (t) => {
    const { dir, place, bring } = scene(t)
    const one = fleetArtifact('one')
    put(place, one)
    place.isStuck = (key) => key.startsWith('blobs/')
    const ending = new AbortController()
    const bringing = bring(one.manifest.artifact, ending.signal)
    await place.asked('blobs/')
    ending.abort(new Error('the server ends'))
    await assert.rejects(bringing, /the server ends/)
    assert.deepEqual(readdirSync(join(dir, 'tmp')), [])
  })
})
