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
import { ArtifactIndex } from './artifact-index.ts'
import type { Compiled, MakerParts } from './artifact-maker.ts'
import { ArtifactMaker } from './artifact-maker.ts'
import { listEntries, ownBytesOf, plainFiles, prepareFolder, readManifests } from './cache-folder.ts'
import { Collector } from './collector.ts'
import { CompileGate } from './compile-gate.ts'
import type { CompilerTurn } from './compiler-pool.ts'
import { COMPILER_DEFAULTS, CompilerPool } from './compiler-pool.ts'
import type { VerifyReply } from './compiler-protocol.ts'
import { COMPILER_CALLS } from './compiler-protocol.ts'
import { cpuIdentity } from './cpu-identity.ts'
import { Integrity } from './integrity.ts'
import { blobPath, graphFile, manifestFile, plainFolder } from './layout.ts'
import { writeManifest } from './manifest.ts'
import type { ArtifactOptions, ArtifactStoreOptions } from './options.ts'
import { ARTIFACT_DEFAULTS } from './options.ts'
import { Pager } from './page-in.ts'
import { wrapDiskFull } from './refusal.ts'
import { Scrubber } from './scrubber.ts'
import type { ArtifactSource } from './source.ts'
import { SourceMemory } from './source-memory.ts'

export type { Compiled } from './artifact-maker.ts'
export type { ArtifactOptions, ArtifactStoreOptions } from './options.ts'
export { ARTIFACT_DEFAULTS } from './options.ts'
export type { ArtifactSource } from './source.ts'

const PROVIDER = 'cpu'
/** Grows when the compiler's own work changes what an artifact is. */
const COMPILER_REVISION = 1
const COLLECT_MS = 600_000
const CLOSE_GRACE_MS = 2_000
/** When to ask again for what is made again. */
const REMAKE_RETRY_MS = 1_000

/** `jsonBytes`: length of the JSON part where tensors follow in binary. */
export interface ClientRequest {
  readonly body: Buffer
  readonly jsonBytes?: number
}

type Parts = Omit<MakerParts, 'publish' | 'discard' | 'makeRoom' | 'onEvent'> & { readonly host: ArtifactStoreOptions }

export class ArtifactStore {
  readonly #parts: Parts
  readonly #dir: string
  readonly #integrity: Integrity
  readonly #pager: Pager
  readonly #collector: Collector
  readonly #scrubber: Scrubber
  readonly #maker: ArtifactMaker

  private constructor(parts: Parts) {
    const { options, host, index, pool, dir, clock } = parts
    this.#parts = parts
    this.#dir = dir
    this.#integrity = new Integrity(dir, (files, bytes, isWaitedFor) => this.#digest(files, bytes, isWaitedFor))
    this.#pager = new Pager(
      { bytesPerSecond: options.pageInBytesPerSecond, warmMs: options.warmMs, diskReadBytes },
      clock,
    )
    this.#maker = new ArtifactMaker({
      ...parts,
      publish: (manifest) => this.#publish(manifest),
      discard: (artifact) => this.remove(artifact),
      makeRoom: (bytes) => this.#collector.makeRoom(bytes),
      onEvent: (name, fields) => this.#event(name, fields),
    })
    this.#collector = new Collector({
      dir,
      diskBytes: host.diskBytes,
      clock,
      everyMs: host.collectMs ?? COLLECT_MS,
      index,
      gate: parts.gate,
      remove: (artifact) => this.remove(artifact),
      onEvent: (name, fields) => this.#event(name, fields),
    })
    this.#scrubber = new Scrubber({
      bytesPerSecond: options.scrubBytesPerSecond,
      clock,
      index,
      verify: (artifact) => this.verify(artifact),
      isIdle: () => pool.queued.background === 0,
    })
  }

  /** Reads the folder's manifests and starts a compiler child, both without blocking the event loop. */
  static async open(host: ArtifactStoreOptions): Promise<ArtifactStore> {
    const { clock } = host
    const dir = resolve(host.dir)
    const options: ArtifactOptions = {
      ...ARTIFACT_DEFAULTS,
      ...host,
      compiler: { ...COMPILER_DEFAULTS, ...host.compiler },
    }
    await prepareFolder(dir)
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
        readManifests(dir, manifests, (manifest, ownBytes) => {
          digests.add(manifest.fingerprint.source)
          index.put(manifest, ownBytes)
        }),
      )
      const [{ ortVersion }, cpu] = await Promise.all([pool.start(), cpuIdentity(), reading])
      const platform = {
        ortVersion,
        provider: PROVIDER,
        cpu,
        options: `v${COMPILER_REVISION} blobs=${options.minBlobBytes}`,
      }
      const sources = await SourceMemory.open(dir, (digest) => digests.has(digest))
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
      })
      host.onEvent?.('artifacts.opened', { artifacts: index.size, bytes: index.bytes, sources: sources.size })
      store.#collector.start()
      store.#scrubber.start()
      return store
    } catch (error) {
      await pool.close(0)
      throw error
    }
  }

  /** The artifact of a source that was compiled before, here or before a restart. */
  find(sourceId: string): Manifest | undefined {
    const { sources, index } = this.#parts
    const digest = sources.digestOf(sourceId)
    return digest === undefined ? undefined : index.get(this.#maker.nameOf(digest))
  }

  /**
   * The source's artifact, compiled unless it is here. One compile per source; the flight is nobody's: `signal` ends this wait only.
   * @throws GatewayError ARTIFACT_INVALID (with `strike` in its details when the model crashed, hung or outgrew its compiler),
   * MODEL_LOADING when the source changed meanwhile, OVERLOADED, DRAINING
   */
  compile(source: ArtifactSource, signal?: AbortSignal): Promise<Compiled> {
    const manifest = this.find(source.sourceId)
    if (manifest !== undefined) return Promise.resolve({ manifest, timings: {} })
    return waitFor(this.#maker.compile(source), signal)
  }

  /**
   * Holds an artifact that could not be checked on made-up inputs against the original on a request that a client sent.
   * @returns its manifest from now on, of form `plain` when the answers differ; `check` says whether they were compared
   */
  async recheck(source: ArtifactSource, { body, jsonBytes }: ClientRequest): Promise<Manifest> {
    const sent = { body: body.toString('base64'), ...(jsonBytes === undefined ? {} : { jsonBytes }) }
    return (await this.#maker.recheck(source, sent)).manifest
  }

  /** Measures an artifact in the background and writes what it found into its manifest. One probe per artifact. */
  probe(artifact: string, source: Pick<ArtifactSource, 'tenant' | 'warmUp' | 'intraOpThreads'>): Promise<Manifest> {
    return this.#maker.probe(artifact, source)
  }

  /** Inputs and outputs by the model's structure alone: compiles and digests nothing. @throws GatewayError ARTIFACT_INVALID */
  inspect(source: Pick<ArtifactSource, 'tenant' | 'dir' | 'modelFile'>): Promise<Signature> {
    return this.#maker.inspect(source)
  }

  /** Absolute path of the file to open. */
  fileOf(manifest: Manifest): string {
    return join(this.#dir, manifest.file)
  }

  /** Are the files what was written? Cheap. A corrupt artifact is removed, so that the next `compile` makes it anew. */
  async checkFiles(manifest: Manifest): Promise<boolean> {
    return (await this.#removeIfCorrupt(manifest, await this.#integrity.check(manifest))).length === 0
  }

  /**
   * Checks the artifact's files and brings their pages in.
   * @throws GatewayError MODEL_LOADING when the artifact was corrupt: it is gone, and `compile` makes it anew
   */
  async pageIn(
    manifest: Manifest,
    signal?: AbortSignal,
  ): Promise<{ readonly readBytes: number; readonly isCold: boolean }> {
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

  /** In use: eviction and collection keep away until released. Releasing twice does nothing. */
  hold(artifact: string): () => void {
    return this.#parts.index.hold(artifact, () => this.#parts.clock.now())
  }

  /** Digests the artifact's files in the background; a corrupt one takes its artifact with it. Returns the corrupt paths. */
  async verify(artifact: string): Promise<readonly string[]> {
    const manifest = this.#parts.index.get(artifact)
    return manifest === undefined ? [] : await this.#removeIfCorrupt(manifest, await this.#integrity.verify(manifest))
  }

  /** Takes the artifact off the disk, manifest first; open sessions keep what they mapped. */
  async remove(artifact: string): Promise<void> {
    const freed = this.#parts.index.remove(artifact)
    await rm(join(this.#dir, manifestFile(artifact)), { force: true })
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
    await this.#parts.pool.close(CLOSE_GRACE_MS)
    await this.#parts.sources.close()
  }

  async #publish(manifest: Manifest): Promise<Manifest> {
    const { index, clock } = this.#parts
    try {
      await writeManifest(this.#dir, manifest)
    } catch (error) {
      throw wrapDiskFull(error)
    }
    const kept = index.put(manifest, await ownBytesOf(this.#dir, manifest))
    index.touch(manifest.artifact, clock.now())
    await this.#integrity.remember(manifest)
    for (const path of [manifest.file, ...manifest.blobs.map((blob) => blobPath(blob.digest))]) {
      this.#pager.markWarm(join(this.#dir, path))
    }
    this.#collector.grown()
    return kept
  }

  async #digest(
    files: Readonly<Record<string, string>>,
    bytes: number,
    isWaitedFor: boolean,
  ): Promise<readonly string[]> {
    const { pool } = this.#parts
    const job = async (turn: CompilerTurn) =>
      await turn.call<VerifyReply>(COMPILER_CALLS.verify, { cache: this.#dir, files })
    // What a load waits for must not queue behind probes, which take seconds.
    const { corrupt } = await (isWaitedFor ? pool.compile('', bytes, job) : pool.inBackground('', bytes, job))
    return corrupt
  }

  async #removeIfCorrupt(manifest: Manifest, corrupt: readonly string[]): Promise<readonly string[]> {
    if (corrupt.length === 0) return corrupt
    this.#event('artifact.corrupt', { artifact: manifest.artifact, files: corrupt.length, first: corrupt[0] ?? '' })
    // A shared blob that is wrong is gone for all who share it: they find it missing and are made again too.
    for (const path of corrupt) {
      this.#integrity.forget(path)
      await rm(join(this.#dir, path), { force: true })
    }
    await this.remove(manifest.artifact)
    return corrupt
  }

  #event(name: string, fields: Readonly<Record<string, string | number | boolean>>): void {
    this.#parts.host.onEvent?.(name, fields)
  }
}

/** Resolves with the flight, or rejects with the signal's reason first; the flight goes on. */
function waitFor<T>(flight: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return flight
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason)
    const onAbort = () => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    flight.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}
