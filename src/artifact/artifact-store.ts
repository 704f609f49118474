/**
 * Compile once, map for ever: turns sources into artifacts and keeps them. Owns the cache folder (one process at a time) and the
 * compiler children. Invariant: an artifact is found only when its manifest, which is written last, is on disk.
 */
import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Fingerprint, Manifest } from '../domain/artifact.ts'
import { GatewayError } from '../domain/errors.ts'
import type { Signature } from '../domain/tensor-types.ts'
import { SingleFlight } from '../lib/single-flight.ts'
import { ArtifactIndex } from './artifact-index.ts'
import { Collector } from './collector.ts'
import { listEntries, ownBytesOf, plainFiles, prepareFolder, readManifests } from './cache-folder.ts'
import type { CompilerTurn } from './compiler-pool.ts'
import { COMPILER_DEFAULTS, CompilerPool } from './compiler-pool.ts'
import type {
  CompileCall,
  CompileReply,
  ExamineCall,
  ExamineReply,
  ProbeCall,
  ProbeReply,
  VerifyReply,
} from './compiler-protocol.ts'
import { COMPILER_CALLS } from './compiler-protocol.ts'
import { cpuIdentity } from './cpu-identity.ts'
import { Integrity } from './integrity.ts'
import { blobPath, graphFile, manifestFile, plainFolder } from './layout.ts'
import { artifactName, writeManifest } from './manifest.ts'
import type { ArtifactOptions, ArtifactStoreOptions } from './options.ts'
import { ARTIFACT_DEFAULTS } from './options.ts'
import { Pager } from './page-in.ts'
import { Scrubber } from './scrubber.ts'
import type { ArtifactSource } from './source.ts'
import { SourceMemory } from './source-memory.ts'

export type { ArtifactOptions, ArtifactStoreOptions } from './options.ts'
export { ARTIFACT_DEFAULTS } from './options.ts'
export type { ArtifactSource } from './source.ts'

const PROVIDER = 'cpu'
/** Grows when the compiler's own work changes what an artifact is. */
const COMPILER_REVISION = 1
const COLLECT_MS = 600_000
const CLOSE_GRACE_MS = 2_000
/** When to ask again for a model whose files were changing. */
const CHANGED_RETRY_MS = 1_000

export interface Compiled {
  readonly manifest: Manifest
  /** Milliseconds by phase, `queue` for the wait for a compiler; empty when there was nothing to do. */
  readonly timings: Readonly<Record<string, number>>
}

/** What of the fingerprint is the same for every source. */
type Platform = Omit<Fingerprint, 'source'>

interface Parts {
  readonly options: ArtifactOptions
  readonly host: ArtifactStoreOptions
  readonly platform: Platform
  readonly index: ArtifactIndex
  readonly sources: SourceMemory
  readonly pool: CompilerPool
}

export class ArtifactStore {
  readonly #parts: Parts
  readonly #dir: string
  readonly #integrity: Integrity
  readonly #pager: Pager
  readonly #collector: Collector
  readonly #scrubber: Scrubber
  readonly #flights = new SingleFlight<string, Compiled>()
  /** Sources of other ids with the same bytes meet here. */
  readonly #artifactFlights = new SingleFlight<string, Compiled>()
  readonly #probes = new SingleFlight<string, Manifest>()

  private constructor(parts: Parts) {
    const { options, host, index, pool } = parts
    this.#parts = parts
    this.#dir = host.dir
    const verify = (files: Readonly<Record<string, string>>, bytes: number) => this.#digest(files, bytes)
    this.#integrity = new Integrity(host.dir, verify)
    this.#pager = new Pager({ bytesPerSecond: options.pageInBytesPerSecond, warmMs: options.warmMs }, host.clock)
    this.#collector = new Collector({
      dir: host.dir,
      diskBytes: host.diskBytes,
      clock: host.clock,
      everyMs: host.collectMs ?? COLLECT_MS,
      index,
      isCompiling: () => this.#flights.size > 0,
      remove: (artifact) => this.remove(artifact),
      onEvent: (name, fields) => this.#event(name, fields),
    })
    this.#scrubber = new Scrubber({
      bytesPerSecond: options.scrubBytesPerSecond,
      clock: host.clock,
      index,
      verify: (artifact) => this.verify(artifact),
      isIdle: () => pool.queued.background === 0,
    })
  }

  /** Reads the folder's manifests and starts a compiler child, both without blocking the event loop. */
  static async open(host: ArtifactStoreOptions): Promise<ArtifactStore> {
    const { dir, clock } = host
    const options: ArtifactOptions = {
      ...ARTIFACT_DEFAULTS,
      ...host,
      compiler: { ...COMPILER_DEFAULTS, ...host.compiler },
    }
    const pool = new CompilerPool(options.compiler, {
      clock,
      onLine: (pid, line) => host.onLine?.(pid, line),
      onEvent: (name, fields) => host.onEvent?.(name, fields),
    })
    try {
      await prepareFolder(dir)
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
      const store = new ArtifactStore({ options, host, platform, index, sources, pool })
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
    return digest === undefined ? undefined : index.get(this.#nameOf(digest))
  }

  /**
   * The source's artifact, compiled unless it is here. One compile per source; the flight is nobody's: `signal` ends this wait only.
   * @throws GatewayError ARTIFACT_INVALID (with `strike` in its details when the model crashed, hung or outgrew its compiler),
   * MODEL_LOADING when the source changed meanwhile, OVERLOADED, DRAINING
   */
  compile(source: ArtifactSource, signal?: AbortSignal): Promise<Compiled> {
    const manifest = this.find(source.sourceId)
    if (manifest !== undefined) return Promise.resolve({ manifest, timings: {} })
    return waitFor(
      this.#flights.run(source.sourceId, () => this.#compile(source)),
      signal,
    )
  }

  /** Measures an artifact in the background and writes what it found into its manifest. One probe per artifact. */
  probe(artifact: string, source: Pick<ArtifactSource, 'tenant' | 'warmUp' | 'intraOpThreads'>): Promise<Manifest> {
    return this.#probes.run(artifact, () => this.#probe(artifact, source))
  }

  /** Inputs and outputs by the model's structure alone: compiles and digests nothing. @throws GatewayError ARTIFACT_INVALID */
  async inspect(source: Pick<ArtifactSource, 'tenant' | 'dir' | 'modelFile'>): Promise<Signature> {
    const call = { ...this.#examineCall(source), signatureOnly: true }
    const { signature } = await this.#parts.pool.compile(source.tenant, 0, (turn) =>
      turn.call<ExamineReply>(COMPILER_CALLS.examine, call),
    )
    if (signature === undefined)
      throw new GatewayError('UNSUPPORTED', `the signature of '${source.modelFile}' is known only after its first load`)
    return signature
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
        retryAfterMs: CHANGED_RETRY_MS,
      })
    }
    this.#parts.index.touch(manifest.artifact, this.#parts.host.clock.now())
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
    return this.#parts.index.hold(artifact, () => this.#parts.host.clock.now())
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
    await rm(join(this.#dir, graphFile(artifact)), { force: true })
    await rm(join(this.#dir, plainFolder(artifact)), { recursive: true, force: true })
    await this.#collector.dropBlobs(freed)
  }

  diskUsage(): { readonly bytes: number; readonly budgetBytes: number; readonly artifacts: number } {
    return {
      bytes: this.#parts.index.bytes,
      budgetBytes: this.#parts.host.diskBytes,
      artifacts: this.#parts.index.size,
    }
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

  async #compile(source: ArtifactSource): Promise<Compiled> {
    const { pool, host, sources } = this.#parts
    const queued = host.clock.now()
    return await pool.compile(source.tenant, source.bytes, async (turn) => {
      const started = host.clock.now()
      const digest = source.digest ?? sources.digestOf(source.sourceId)
      const examined = await turn.call<ExamineReply>(COMPILER_CALLS.examine, {
        ...this.#examineCall(source),
        ...(digest === undefined ? {} : { digest }),
      })
      const artifact = this.#nameOf(examined.digest)
      const known = this.#parts.index.get(artifact)
      const { manifest, timings } =
        known === undefined
          ? await this.#artifactFlights.run(artifact, () => this.#make(artifact, source, examined, turn))
          : { manifest: known, timings: {} }
      sources.remember(source.sourceId, examined.digest)
      const all = { queue: started - queued, ...examined.timings, ...timings, total: host.clock.now() - queued }
      this.#event('artifact.compiled', {
        key: source.key,
        artifact,
        form: manifest.form,
        check: manifest.check,
        plainReason: manifest.plainReason ?? '',
        bytes: examined.bytes,
        ...inMs(all),
      })
      return { manifest, timings: all }
    })
  }

  async #make(artifact: string, source: ArtifactSource, examined: ExamineReply, turn: CompilerTurn): Promise<Compiled> {
    const { host, index, options, platform } = this.#parts
    const { dir, modelFile, intraOpThreads, warmUp } = source
    const { minBlobBytes, inlineLimitBytes } = options
    const { files, bytes, signature } = examined
    const call: CompileCall = {
      cache: this.#dir,
      artifact,
      dir,
      modelFile,
      files,
      bytes,
      limits: this.#limits(),
      minBlobBytes,
      inlineLimitBytes,
      intraOpThreads,
      warmUp,
      ...(signature === undefined ? {} : { signature }),
    }
    const reply = await turn.call<CompileReply>(COMPILER_CALLS.compile, call)
    const replied = host.clock.now()
    // Names of files that may have changed while they were digested or read would name anything.
    if (!(await source.isUnchanged())) {
      await this.remove(artifact)
      throw new GatewayError('MODEL_LOADING', 'the model file changed while it was compiled; it is tried again', {
        retryAfterMs: CHANGED_RETRY_MS,
      })
    }
    const { timings, ...made } = reply
    const fingerprint: Fingerprint = { source: examined.digest, ...platform }
    const manifest: Manifest = {
      format: 1,
      artifact,
      fingerprint,
      ...made,
      timings: rounded({ ...examined.timings, ...timings }),
    }
    await this.#publish(manifest)
    index.touch(artifact, host.clock.now())
    return { manifest: index.get(artifact) ?? manifest, timings: { ...timings, manifest: host.clock.now() - replied } }
  }

  async #publish(manifest: Manifest): Promise<void> {
    const { index } = this.#parts
    await writeManifest(this.#dir, manifest)
    index.put(manifest, await ownBytesOf(this.#dir, manifest))
    await this.#integrity.remember(manifest)
    for (const path of [manifest.file, ...manifest.blobs.map((blob) => blobPath(blob.digest))])
      this.#pager.markWarm(join(this.#dir, path))
    this.#collector.grown()
  }

  async #probe(
    artifact: string,
    { tenant, warmUp, intraOpThreads }: Pick<ArtifactSource, 'tenant' | 'warmUp' | 'intraOpThreads'>,
  ): Promise<Manifest> {
    const { index, options, pool } = this.#parts
    const before = index.get(artifact)
    if (before === undefined)
      throw new GatewayError('MODEL_LOADING', 'the compiled form of the model is gone; it is made again when asked for')
    const release = this.hold(artifact)
    try {
      const call: ProbeCall = {
        cache: this.#dir,
        file: before.file,
        form: before.form,
        signature: before.signature,
        limits: this.#limits(),
        intraOpThreads,
        warmUp,
        budgetMs: options.probeBudgetMs,
      }
      const bytes = index.ownBytesOf(artifact) + before.blobs.reduce((sum, blob) => sum + blob.bytes, 0)
      const probe = await pool.inBackground(tenant, bytes, (turn) => turn.call<ProbeReply>(COMPILER_CALLS.probe, call))
      const current = index.get(artifact) ?? before
      const manifest: Manifest = { ...current, probe }
      await writeManifest(this.#dir, manifest)
      this.#event('artifact.probed', {
        artifact,
        isBatchSafe: probe.isBatchSafe,
        batchReason: probe.batchReason,
        runMs: probe.runMs,
        privateBytes: probe.privateBytes,
      })
      return index.put(manifest, index.ownBytesOf(artifact))
    } finally {
      release()
    }
  }

  async #digest(files: Readonly<Record<string, string>>, bytes: number): Promise<readonly string[]> {
    const call = { cache: this.#dir, files }
    const { corrupt } = await this.#parts.pool.inBackground('', bytes, (turn) =>
      turn.call<VerifyReply>(COMPILER_CALLS.verify, call),
    )
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

  #examineCall({ dir, modelFile }: Pick<ArtifactSource, 'dir' | 'modelFile'>): ExamineCall {
    const { allowHardLinks, allowOrt } = this.#parts.options
    return { dir, modelFile, limits: this.#limits(), allowHardLinks, allowOrt }
  }

  #limits(): ExamineCall['limits'] {
    const { maxNodes, extraDomains } = this.#parts.options
    return { maxNodes, extraDomains }
  }

  #nameOf(source: string): string {
    return artifactName({ source, ...this.#parts.platform })
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

function rounded(timings: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(timings).map(([phase, ms]) => [phase, Math.round(ms * 1000) / 1000]))
}

/** Phases as fields of an event: `open` becomes `openMs`. */
function inMs(timings: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(timings).map(([phase, ms]) => [`${phase}Ms`, ms]))
}
