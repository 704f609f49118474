/**
 * Brings an artifact from the place that a fleet shares into the cache folder, without its manifest: what lies here with the content that
 * its name says stays, the rest is fetched, digested on its way, and appears by rename.
 */
import { createHash } from 'node:crypto'
import { chmod, mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Manifest } from '../domain/artifact.ts'
import type { Clock } from '../lib/clock.ts'
import { Semaphore } from '../lib/semaphore.ts'
import type { FleetFile } from './fleet-manifest.ts'
import { filesOf, MANIFEST_MAX_BYTES, PROBE_MAX_BYTES, readFleetManifest, readFleetProbe } from './fleet-manifest.ts'
import type { FleetLimits, FleetPlace } from './fleet-place.ts'
import { FleetTrouble, manifestKey, probeKey } from './fleet-place.ts'
import { requireFreeDisk } from './free-disk.ts'
import type { FileState } from './integrity.ts'
import { plainFolder, stagingFolder } from './layout.ts'

export interface FleetFetchParts {
  readonly place: FleetPlace
  readonly limits: FleetLimits
  /** Absolute path of the cache folder. */
  readonly dir: string
  readonly minFreeDiskBytes: number
  readonly clock: Clock
  /** Of these, the paths of those that are here and whole. */
  readonly whole: (files: readonly FileState[]) => Promise<ReadonlySet<string>>
  /** @throws FleetTrouble `wrong` unless the graph in the cache folder is a sane one that names the manifest's blobs and no other file */
  readonly checkGraph: (manifest: Manifest, tenant: string) => Promise<void>
  readonly onBytes: (bytes: number) => void
}

export interface Brought {
  readonly manifest: Manifest
  readonly files: number
  readonly fetchedFiles: number
  readonly fetchedBytes: number
}

const MiB = 2 ** 20
const READ_ONLY = 0o444

let serial = 0

export class FleetFetch {
  readonly #parts: FleetFetchParts
  readonly #turns: Semaphore

  constructor(parts: FleetFetchParts) {
    this.#parts = parts
    this.#turns = new Semaphore(parts.limits.parallel)
  }

  /**
   * To be run where nobody takes blobs away. @returns undefined when the place does not have the artifact
   * @throws FleetTrouble, an error of the disk, the signal's reason; no file of the artifact's own is left then
   */
  async bring(artifact: string, tenant: string, signal: AbortSignal): Promise<Brought | undefined> {
    const { limits } = this.#parts
    const manifest = await this.#within(limits.lookupMs, signal, (either) => this.#manifest(artifact, either))
    if (manifest === undefined) return undefined
    const files = [...new Map(filesOf(manifest).map((file) => [file.path, file])).values()]
    const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
    if (bytes > limits.maxArtifactBytes)
      throw new FleetTrouble('wrong', `it has ${bytes} bytes, at most ${limits.maxArtifactBytes} are allowed`)
    const lacking = await this.#lacking(files)
    const fetchedBytes = lacking.reduce((sum, file) => sum + file.bytes, 0)
    await requireFreeDisk(this.#parts.dir, fetchedBytes, this.#parts.minFreeDiskBytes)
    const deadlineMs = limits.deadlineMs + limits.deadlineMsPerMiB * (fetchedBytes / MiB)
    const probed = await this.#within(deadlineMs, signal, async (either) => {
      const probing = this.#probe(manifest, either)
      await this.#place(manifest, lacking, tenant, either)
      return await probing
    })
    return { manifest: probed, files: files.length, fetchedFiles: lacking.length, fetchedBytes }
  }

  async #manifest(artifact: string, signal: AbortSignal): Promise<Manifest | undefined> {
    const key = manifestKey(artifact)
    const text = await this.#text(key, MANIFEST_MAX_BYTES, signal)
    if (text === undefined) return undefined
    const manifest = readFleetManifest(text, artifact)
    if (manifest === undefined) throw new FleetTrouble('wrong', 'its manifest is not one that could be of it', key)
    return manifest
  }

  /** An artifact without a probe is as good: it is probed here. */
  async #probe(manifest: Manifest, signal: AbortSignal): Promise<Manifest> {
    const text = await this.#text(probeKey(manifest.artifact), PROBE_MAX_BYTES, signal).catch(() => undefined)
    const probe = text === undefined ? undefined : readFleetProbe(text)
    return probe === undefined ? manifest : { ...manifest, probe }
  }

  async #text(key: string, maxBytes: number, signal: AbortSignal): Promise<string | undefined> {
    const { place, onBytes } = this.#parts
    const found = await place.head(key, signal)
    if (found === undefined) return undefined
    if (found.bytes > maxBytes) throw new FleetTrouble('wrong', `it has ${found.bytes} bytes`, key)
    if (found.bytes === 0) return ''
    const chunks: Uint8Array[] = []
    for await (const chunk of await place.read(key, found.bytes, signal)) {
      onBytes(chunk.length)
      chunks.push(chunk)
    }
    return Buffer.concat(chunks).toString('utf8')
  }

  /** The artifact's own files are never here: whatever lies at their paths has no manifest. */
  async #lacking(files: readonly FleetFile[]): Promise<FleetFile[]> {
    const shared = files.filter(({ isShared }) => isShared)
    const whole = await this.#parts.whole(shared)
    // Renews the change time, by which the collector tells a blob that is about to be referred to from an old unreferenced one.
    for (const path of whole) await chmod(join(this.#parts.dir, path), READ_ONLY)
    return files.filter(({ path }) => !whole.has(path))
  }

  async #place(manifest: Manifest, lacking: readonly FleetFile[], tenant: string, signal: AbortSignal): Promise<void> {
    const { dir, checkGraph } = this.#parts
    const staging = join(dir, stagingFolder, `fleet-${++serial}`)
    await mkdir(staging, { recursive: true })
    const failed = new AbortController()
    const either = AbortSignal.any([signal, failed.signal])
    try {
      const fetching = lacking.map((file, index) =>
        this.#turns
          .use(() => this.#fetch(file, join(staging, String(index)), either), either)
          .catch((error: unknown) => {
            failed.abort(error)
            throw error
          }),
      )
      await Promise.allSettled(fetching)
      either.throwIfAborted()
      await this.#rename(manifest, lacking, staging)
      if (manifest.form === 'mapped') await checkGraph(manifest, tenant)
    } catch (error) {
      await rm(join(dir, topOf(manifest)), { recursive: true, force: true })
      throw error
    } finally {
      await rm(staging, { recursive: true, force: true }).catch(() => {})
    }
  }

  async #fetch({ key, digest, bytes }: FleetFile, target: string, signal: AbortSignal): Promise<void> {
    const { place, onBytes } = this.#parts
    const actual = createHash('sha256')
    const file = await open(target, 'wx', READ_ONLY)
    try {
      let at = 0
      const content = bytes === 0 ? [] : await place.read(key, bytes, signal)
      for await (const chunk of content) {
        signal.throwIfAborted()
        at += chunk.length
        if (at > bytes) throw new FleetTrouble('wrong', `it is longer than the ${bytes} bytes it should have`, key)
        actual.update(chunk)
        onBytes(chunk.length)
        await file.appendFile(chunk)
      }
    } finally {
      await file.close()
    }
    if (actual.digest('hex') !== digest) throw new FleetTrouble('wrong', 'its content is not what its name says', key)
  }

  /** Blobs first: the graph that names them appears when they are there. */
  async #rename(manifest: Manifest, lacking: readonly FleetFile[], staging: string): Promise<void> {
    const { dir } = this.#parts
    const isPlain = manifest.form === 'plain'
    const folder = join(staging, plainFolder(''))
    for (const [index, { path }] of [...lacking.entries()].toReversed()) {
      const target = isPlain ? join(folder, path.slice(topOf(manifest).length + 1)) : join(dir, path)
      await mkdir(dirname(target), { recursive: true })
      await rename(join(staging, String(index)), target)
    }
    if (!isPlain) return
    await rm(join(dir, topOf(manifest)), { recursive: true, force: true })
    await rename(folder, join(dir, topOf(manifest)))
  }

  /** @throws FleetTrouble `late` when the time is over */
  async #within<T>(ms: number, signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const late = new AbortController()
    const timer = this.#parts.clock.after(ms, () =>
      late.abort(new FleetTrouble('late', `it took longer than ${Math.round(ms)} ms`)),
    )
    try {
      return await work(AbortSignal.any([signal, late.signal]))
    } finally {
      timer.cancel()
    }
  }
}

/** What of the cache folder is the artifact's alone, beside its manifest: a file or a folder. */
function topOf({ form, artifact, file }: Manifest): string {
  return form === 'plain' ? plainFolder(artifact) : file
}
