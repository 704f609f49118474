/**
 * Compile once, map for ever: turns sources into artifacts and keeps them. Owns the cache folder (one process at a time) and the
 * compiler children. Invariant: an artifact is found only when its manifest, which is written last, is on disk.
 */
import { rm, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { diskReadBytes } from '../child/disk-reads.ts'
import { killPoint } from '../child/kill-points.ts'
import { spawnChild } from '../child/spawn.ts'
import type { Manifest } from '../domain/artifact.ts'
import { GatewayError } from '../domain/errors.ts'
import type { Signature } from '../domain/tensor-types.ts'
import { waitFor } from '../lib/wait-for.ts'
import { ArtifactIndex } from './artifact-index.ts'
import type { MakerParts } from './artifact-maker.ts'
import { ArtifactMaker } from './artifact-maker.ts'
import type { ArtifactRoom, ClientRequest, Compiled, PagedIn, ProbeSource } from './artifact-room.ts'
import { listEntries, ownBytesOf, plainFiles, prepareFolder, readManifests } from './cache-folder.ts'
import { Collector } from './collector.ts'
import { CompileGate } from './compile-gate.ts'
import type { CompilerTurn } from './compiler-pool.ts'
import { CompilerPool } from './compiler-pool.ts'
import type { VerifyReply } from './compiler-protocol.ts'
import { COMPILER_CALLS } from './compiler-protocol.ts'
import type { FleetOptions } from './fleet-cache.ts'
import { FleetCache } from './fleet-cache.ts'
import { checkFleetGraph } from './fleet-graph.ts'
import { Integrity } from './integrity.ts'
import { blobPath, graphFile, manifestFile, plainFolder } from './layout.ts'
import { writeManifest } from './manifest.ts'
import type { ArtifactStoreOptions } from './options.ts'
import { withDefaults } from './options.ts'
import { Pager } from './page-in.ts'
import { platformOf } from './platform.ts'
import { wrapDiskTrouble } from './refusal.ts'
import { Scrubber } from './scrubber.ts'
import type { ArtifactSource } from './source.ts'
import { SourceMemory } from './source-memory.ts'

export type { Compiled } from './artifact-room.ts'
export type { ArtifactOptions, ArtifactStoreOptions } from './options.ts'
export { ARTIFACT_DEFAULTS } from './options.ts'
export type { ArtifactSource } from './source.ts'

const COLLECT_MS = 600_000
const CLOSE_GRACE_MS = 2_000
/** When to ask again for what is made again. */
const REMAKE_RETRY_MS = 1_000

type Parts = Omit<MakerParts, 'publish' | 'discard' | 'makeRoom' | 'fleet' | 'onEvent'> & {
  readonly host: ArtifactStoreOptions
  /** Manifests that the file system did not give. */
  readonly unread: number
}

export class ArtifactStore implements ArtifactRoom {
  readonly #parts: Parts
  readonly #dir: string
  readonly #integrity: Integrity
  readonly #pager: Pager
  readonly #collector: Collector
  readonly #scrubber: Scrubber
  readonly #maker: ArtifactMaker
  /** What other machines have, where they share it with this one. */
  readonly fleet: FleetCache | undefined

  private constructor(parts: Parts) {
    const { options, host, index, pool, dir, clock } = parts
    this.#parts = parts
    this.#dir = dir
    this.#integrity = new Integrity(dir, (files, bytes, isWaitedFor) => this.#digest(files, bytes, isWaitedFor))
    this.#pager = new Pager(
      { bytesPerSecond: options.pageInBytesPerSecond, warmMs: options.warmMs, diskReadBytes },
      clock,
    )
    this.fleet = host.fleet === undefined ? undefined : this.#fleetCache(host.fleet)
    this.#maker = new ArtifactMaker({
      ...parts,
      fleet: this.fleet,
      publish: (manifest) => this.#publish(manifest),
      discard: (artifact) => this.remove(artifact),
      makeRoom: (bytes) => this.#makeRoom(bytes),
      onEvent: (name, fields) => this.#event(name, fields),
    })
    this.#collector = new Collector({
      dir,
      diskBytes: host.diskBytes,
      clock,
      everyMs: host.collectMs ?? COLLECT_MS,
      evictAfterMs: host.evictAfterMs ?? 0,
      sweeps: parts.unread === 0,
      index,
      gate: parts.gate,
      remove: (artifact) => this.remove(artifact),
      onEvent: (name, fields) => this.#event(name, fields),
    })
    this.#scrubber = new Scrubber({
      bytesPerSecond: options.scrubBytesPerSecond,
      clock,
      index,
      verify: (artifact) => this.#verify(artifact, false),
      isIdle: () => pool.queued.background === 0,
    })
  }

  /** Reads the folder's manifests and starts a compiler child, both without blocking the event loop. */
  static async open(host: ArtifactStoreOptions): Promise<ArtifactStore> {
    const { clock } = host
    const dir = resolve(host.dir)
    const options = withDefaults(host)
    const isReadOnly = host.isReadOnly ?? false
    if (!isReadOnly) await prepareFolder(dir)
    const pool = new CompilerPool(options.compiler, {
      clock,
      cache: dir,
      spawn: host.spawn ?? spawnChild,
      onLine: (pid, line) => host.onLine?.(pid, line),
      onEvent: (name, fields) => host.onEvent?.(name, fields),
    })
    try {
      const index = new ArtifactIndex()
      const digests = new Set<string>()
      const reading = listEntries(dir).then(({ manifests }) =>
        readManifests(dir, manifests, {
          take(manifest, ownBytes) {
            digests.add(manifest.fingerprint.source)
            index.put(manifest, ownBytes)
          },
          async dropUnusable(artifact) {
            host.onEvent?.('artifacts.manifest-unusable', { artifact })
            if (!isReadOnly) await rm(join(dir, manifestFile(artifact)), { force: true })
          },
        }),
      )
      const [{ ortVersion }, unread] = await Promise.all([pool.start(options.device), reading])
      const platform = await platformOf(options, ortVersion)
      const sources = await SourceMemory.open(dir, (digest) => digests.has(digest), isReadOnly)
      const store = new ArtifactStore({
        dir,
        clock,
        options,
        host,
        platform,
        index,
        sources,
        pool,
        gate: new CompileGate(),
        isReadOnly,
        unread,
      })
      host.onEvent?.('artifacts.opened', { artifacts: index.size, bytes: index.bytes, sources: sources.size, unread })
      if (isReadOnly) return store
      store.#collector.start()
      store.#scrubber.start()
      return store
    } catch (error) {
      await pool.close(0)
      throw error
    }
  }

  find(sourceId: string): Manifest | undefined {
    const { sources, index } = this.#parts
    const digest = sources.digestOf(sourceId)
    return digest === undefined ? undefined : index.get(this.#maker.nameOf(digest))
  }

  compile(source: ArtifactSource, signal?: AbortSignal): Promise<Compiled> {
    const manifest = this.find(source.sourceId)
    if (manifest !== undefined) return Promise.resolve({ manifest, timings: {} })
    return waitFor(this.#growing(this.#maker.compile(source)), signal)
  }

  async recheck(source: ArtifactSource, { body, jsonBytes }: ClientRequest): Promise<Manifest> {
    const sent = { body: body.toString('base64'), ...(jsonBytes === undefined ? {} : { jsonBytes }) }
    return (await this.#growing(this.#maker.recheck(source, sent))).manifest
  }

  probe(artifact: string, source: ProbeSource): Promise<Manifest> {
    return this.#maker.probe(artifact, source)
  }

  inspect(source: Pick<ArtifactSource, 'tenant' | 'dir' | 'modelFile'>): Promise<Signature> {
    return this.#maker.inspect(source)
  }

  get(artifact: string): Manifest | undefined {
    return this.#parts.index.get(artifact)
  }

  fileOf(manifest: Manifest): string {
    return join(this.#dir, manifest.file)
  }

  async checkFiles(manifest: Manifest): Promise<boolean> {
    return (await this.#removeIfCorrupt(manifest, await this.#integrity.check(manifest))).length === 0
  }

  async pageIn(manifest: Manifest, signal?: AbortSignal): Promise<PagedIn> {
    if (!(await this.checkFiles(manifest))) {
      throw new GatewayError('MODEL_LOADING', 'the compiled form of the model was damaged on disk and is made again', {
        retryAfterMs: REMAKE_RETRY_MS,
      })
    }
    this.#parts.index.touch(manifest.artifact, this.#parts.clock.now())
    const paths = manifest.form === 'plain' ? await plainFiles(this.#dir, manifest) : undefined
    if (paths === undefined) {
      const files = [{ path: this.fileOf(manifest), bytes: manifest.graph.bytes }]
      for (const { digest, bytes } of manifest.blobs) files.push({ path: join(this.#dir, blobPath(digest)), bytes })
      return await this.#pager.pageIn(files, signal)
    }
    const files = await Promise.all(
      paths.map(async (path) => ({ path: join(this.#dir, path), bytes: (await stat(join(this.#dir, path))).size })),
    )
    return await this.#pager.pageIn(files, signal)
  }

  hold(artifact: string): () => void {
    return this.#parts.index.hold(artifact, () => this.#parts.clock.now())
  }

  async verify(artifact: string): Promise<readonly string[]> {
    return await this.#verify(artifact, true)
  }

  /** Takes the artifact off the disk, manifest first; open sessions keep what they mapped. @throws the file system's error, and then it stays */
  async remove(artifact: string): Promise<void> {
    const { index } = this.#parts
    const manifest = index.get(artifact)
    const ownBytes = index.ownBytesOf(artifact)
    // Out of the index first: nobody is to find what is about to go.
    const freed = index.remove(artifact)
    try {
      await rm(join(this.#dir, manifestFile(artifact)), { force: true })
    } catch (error) {
      if (manifest !== undefined) index.put(manifest, ownBytes)
      throw error
    }
    killPoint('evict')
    await rm(join(this.#dir, graphFile(artifact)), { force: true })
    killPoint('evict')
    await rm(join(this.#dir, plainFolder(artifact)), { recursive: true, force: true })
    killPoint('evict')
    await this.#collector.dropBlobs(freed)
  }

  /** Version of ONNX Runtime that artifacts are made with. */
  get ortVersion(): string {
    return this.#parts.platform.ortVersion
  }

  /** How many artifacts there are of each form. Looks at all of them. */
  forms(): { readonly mapped: number; readonly plain: number } {
    const { index } = this.#parts
    const counts = { mapped: 0, plain: 0 }
    for (const artifact of index.names()) counts[index.get(artifact)?.form ?? 'mapped']++
    return counts
  }

  diskUsage(): { readonly bytes: number; readonly budgetBytes: number; readonly artifacts: number } {
    return {
      bytes: this.#parts.index.bytes,
      budgetBytes: this.#parts.host.diskBytes,
      artifacts: this.#parts.index.size,
    }
  }

  /** How busy each lane of compilers is. */
  compilers(): readonly { readonly lane: string; readonly running: number; readonly waiting: number }[] {
    const { running, queued } = this.#parts.pool
    return (['small', 'big', 'background'] as const).map((lane) => ({
      lane,
      running: running[lane],
      waiting: queued[lane],
    }))
  }

  /** Evicts above the budget and sweeps rubbish; runs by itself now and then. */
  collect(): Promise<void> {
    return this.#collector.collect()
  }

  /** Ends timers and children; compiles under way are refused with DRAINING. Idempotent. */
  async close(): Promise<void> {
    this.#scrubber.stop()
    this.#collector.stop()
    await this.fleet?.close()
    await this.#parts.pool.close(CLOSE_GRACE_MS)
    await this.#parts.sources.close()
  }

  #fleetCache(fleet: FleetOptions): FleetCache {
    const { index, clock, pool, options } = this.#parts
    return new FleetCache(fleet, {
      dir: this.#dir,
      clock,
      minFreeDiskBytes: options.minFreeDiskBytes,
      whole: (files) => this.#integrity.whole(files),
      checkGraph: (manifest) => checkFleetGraph(pool, this.#dir, options, manifest),
      hold: (artifact) => {
        const manifest = index.get(artifact)
        return manifest && { manifest, release: this.hold(artifact) }
      },
      onEvent: (name, fields) => this.#event(name, fields),
    })
  }

  async #publish(manifest: Manifest): Promise<Manifest> {
    const { index, clock } = this.#parts
    try {
      await writeManifest(this.#dir, manifest)
    } catch (error) {
      throw wrapDiskTrouble(error)
    }
    const kept = index.put(manifest, await ownBytesOf(this.#dir, manifest))
    index.touch(manifest.artifact, clock.now())
    await this.#integrity.remember(manifest)
    for (const path of [manifest.file, ...manifest.blobs.map((blob) => blobPath(blob.digest))]) {
      this.#pager.markWarm(join(this.#dir, path))
    }
    return kept
  }

  async #makeRoom(bytes: number): Promise<void> {
    const freed = (await this.#parts.host.spareDisk?.(bytes)) ?? 0
    await this.#collector.makeRoom(Math.max(0, bytes - freed))
  }

  /** Evicts for what was made, but not before whoever asked for it could hold it. */
  async #growing<T>(making: Promise<T>): Promise<T> {
    const made = await making
    this.#parts.clock.after(0, () => this.#collector.grown())
    return made
  }

  async #digest(
    files: Readonly<Record<string, string>>,
    bytes: number,
    isWaitedFor: boolean,
  ): Promise<readonly string[]> {
    const { pool } = this.#parts
    const job = async (turn: CompilerTurn) =>
      await turn.call<VerifyReply>(COMPILER_CALLS.verify, { cache: this.#dir, files })
    // What requests wait for must queue neither behind probes, which take seconds, nor behind bombs, which take a minute.
    const { corrupt } = await (isWaitedFor ? pool.digest(bytes, job) : pool.inBackground('', bytes, job))
    return corrupt
  }

  /** What is not listed any more was taken away for being corrupt, as far as those are concerned who hold it. */
  async #verify(artifact: string, isWaitedFor: boolean): Promise<readonly string[]> {
    const manifest = this.#parts.index.get(artifact)
    if (manifest === undefined) return [manifestFile(artifact)]
    return await this.#removeIfCorrupt(manifest, await this.#integrity.verify(manifest, isWaitedFor))
  }

  async #removeIfCorrupt(manifest: Manifest, corrupt: readonly string[]): Promise<readonly string[]> {
    if (corrupt.length === 0) return corrupt
    this.#event('artifact.corrupt', { artifact: manifest.artifact, files: corrupt.length, first: corrupt[0] ?? '' })
    for (const path of corrupt) this.#integrity.forget(path)
    try {
      // A shared blob that is wrong is gone for all who share it: they find it missing and are made again too.
      for (const path of corrupt) await rm(join(this.#dir, path), { force: true })
      await this.remove(manifest.artifact)
    } catch (error) {
      // On a disk that gives nothing up it is forgotten, and found again at the next start.
      this.#parts.index.remove(manifest.artifact)
      this.#event('artifacts.remove-failed', { artifact: manifest.artifact, error: String(error) })
    }
    this.#parts.host.onCorrupt?.(corrupt)
    return corrupt
  }

  #event(name: string, fields: Readonly<Record<string, string | number | boolean>>): void {
    this.#parts.host.onEvent?.(name, fields)
  }
}
