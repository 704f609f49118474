/**
 * Makes artifacts of sources and probes them, through the compiler children. Owns what is under way: one compile per source, one per
 * artifact whatever its sources are called, one probe per artifact.
 */
import type { Fingerprint, Manifest } from '../domain/artifact.ts'
import { GatewayError } from '../domain/errors.ts'
import { parseModelKey } from '../domain/model-version.ts'
import type { Signature } from '../domain/tensor-types.ts'
import type { Clock } from '../lib/clock.ts'
import { SingleFlight } from '../lib/single-flight.ts'
import type { ArtifactIndex } from './artifact-index.ts'
import type { Compiled, ProbeSource } from './artifact-room.ts'
import type { CompileGate } from './compile-gate.ts'
import type { CompilerPool, CompilerTurn } from './compiler-pool.ts'
import type {
  CompileCall,
  CompileReply,
  ExamineCall,
  ExamineReply,
  ProbeCall,
  ProbeReply,
} from './compiler-protocol.ts'
import { COMPILER_CALLS } from './compiler-protocol.ts'
import type { FleetCache } from './fleet-cache.ts'
import { requireFreeDisk } from './free-disk.ts'
import type { SentRequest } from './given-inputs.ts'
import { artifactName, writeManifest } from './manifest.ts'
import type { ArtifactOptions } from './options.ts'
import type { Platform } from './platform.ts'
import { isDiskFull, readOnlyFolder } from './refusal.ts'
import type { MadeUp } from './sample-inputs.ts'
import type { ArtifactSource } from './source.ts'
import type { SourceMemory } from './source-memory.ts'

/** Saved graph, blobs and artifact lie beside each other for a moment. */
const ROOM_FACTOR = 3
/** When to ask again for a model whose files were changing. */
const CHANGED_RETRY_MS = 1_000

export interface MakerParts {
  /** Absolute path of the cache folder. */
  readonly dir: string
  readonly options: ArtifactOptions
  readonly platform: Platform
  readonly clock: Clock
  readonly index: ArtifactIndex
  readonly sources: SourceMemory
  readonly pool: CompilerPool
  readonly gate: CompileGate
  /** Nothing can be written to the folder. */
  readonly isReadOnly: boolean
  /** Absent: nobody shares artifacts with this machine. */
  readonly fleet?: FleetCache | undefined
  /** Writes the manifest of files that are in place: from here on the artifact exists. */
  publish(manifest: Manifest): Promise<Manifest>
  /** Takes files without a manifest away again. */
  discard(artifact: string): Promise<void>
  /** Removes what is out of use until so many bytes more would fit. */
  makeRoom(bytes: number): Promise<void>
  onEvent(name: string, fields: Readonly<Record<string, string | number | boolean>>): void
}

type InTurn = <T>(job: (turn: CompilerTurn) => Promise<T>) => Promise<T>

interface Examined {
  readonly examined: ExamineReply
  readonly queueMs: number
  /** Where the work goes on. */
  readonly inTurn: InTurn
}

export class ArtifactMaker {
  readonly #parts: MakerParts
  readonly #flights = new SingleFlight<string, Compiled>()
  /** Sources of other ids with the same bytes meet here. */
  readonly #artifactFlights = new SingleFlight<string, Compiled>()
  readonly #probes = new SingleFlight<string, Manifest>()

  constructor(parts: MakerParts) {
    this.#parts = parts
  }

  /** Name of the artifact that source bytes of this digest have here. */
  nameOf(source: string): string {
    return artifactName({ source, ...this.#parts.platform })
  }

  /** Compiles the source, or finds that its bytes were compiled under another id. One flight per source. */
  compile(source: ArtifactSource): Promise<Compiled> {
    return this.#flights.run(source.sourceId, async () => {
      return await this.#compileOn(source, 'drawn')
    })
  }

  /** Compiles with inputs made up like this; where a run on them ends the compiler, once more with what asks less of the model. */
  async #compileOn(source: ArtifactSource, madeUp: MadeUp): Promise<Compiled> {
    try {
      return await this.#compile(source, madeUp)
    } catch (error) {
      // What is refused while it changes may be half of something good.
      if (error instanceof GatewayError && error.code === 'ARTIFACT_INVALID') await this.#throwIfChanged(source)
      if (isDiskFull(error)) {
        // Once: what others have not used for long makes room for what is wanted now.
        await this.#parts.makeRoom(ROOM_FACTOR * source.bytes)
        return await this.#compile(source, madeUp)
      }
      const next = afterDeath(error, madeUp)
      if (next === undefined) throw error
      this.#parts.onEvent('artifact.made-up-run-died', { key: source.key, madeUp, next, reason: messageOf(error) })
      return await this.#compileOn(source, next)
    }
  }

  /** Makes a known artifact once more with a request of a client as the input of its check. One flight per artifact. */
  recheck(source: ArtifactSource, sent: SentRequest): Promise<Compiled> {
    return this.#withExamined(source, async ({ examined, inTurn }) => {
      const artifact = this.nameOf(examined.digest)
      const how = { madeUp: 'none', sent } as const
      return await this.#artifactFlights.run(artifact, () =>
        inTurn((turn) => this.#make(artifact, source, examined, how, turn)),
      )
    })
  }

  probe(artifact: string, source: ProbeSource): Promise<Manifest> {
    return this.#probes.run(artifact, () => this.#probe(artifact, source))
  }

  async inspect(source: Pick<ArtifactSource, 'tenant' | 'dir' | 'modelFile'>): Promise<Signature> {
    const call = { ...this.#examineCall(source), signatureOnly: true }
    const { signature } = await this.#parts.pool.compile(source.tenant, 0, (turn) =>
      turn.call<ExamineReply>(COMPILER_CALLS.examine, call),
    )
    if (signature === undefined)
      throw new GatewayError('UNSUPPORTED', `the signature of '${source.modelFile}' is known only after its first load`)
    return signature
  }

  async #compile(source: ArtifactSource, madeUp: MadeUp): Promise<Compiled> {
    const { clock, sources, index } = this.#parts
    const began = clock.now()
    return await this.#withExamined(source, async ({ examined, queueMs, inTurn }) => {
      const artifact = this.nameOf(examined.digest)
      const known = index.get(artifact)
      const made: Compiled =
        known === undefined
          ? await this.#artifactFlights.run(
              artifact,
              async () =>
                (await this.#fetch(artifact, source, madeUp)) ??
                (await inTurn((turn) => this.#make(artifact, source, examined, { madeUp }, turn))),
            )
          : { manifest: known, timings: {} }
      const { manifest, timings, isFetched } = made
      if (known !== undefined || isFetched === true) await this.#throwIfChanged(source)
      sources.remember({ id: source.sourceId, digest: examined.digest, name: parseModelKey(source.key)?.name ?? '' })
      const all = { queue: queueMs, ...examined.timings, ...timings, total: clock.now() - began }
      if (isFetched === true) return { manifest, timings: all, isFetched }
      this.#parts.onEvent('artifact.compiled', {
        key: source.key,
        artifact,
        form: manifest.form,
        check: manifest.check,
        plainReason: manifest.plainReason ?? '',
        ...(manifest.needsCpu === undefined ? {} : { needsCpu: manifest.needsCpu }),
        bytes: examined.bytes,
        ...inMs(all),
      })
      return { manifest, timings: all }
    })
  }

  /**
   * Examines the source and goes on in the same turn. With a fleet, in another: nobody holds a compiler who waits for the network, or for
   * somebody else's flight that does.
   */
  async #withExamined<T>(source: ArtifactSource, next: (found: Examined) => Promise<T>): Promise<T> {
    const { pool, clock, sources, fleet } = this.#parts
    const queued = clock.now()
    const take: InTurn = (job) => pool.compile(source.tenant, source.bytes, job)
    const examine = async (turn: CompilerTurn): Promise<Omit<Examined, 'inTurn'>> => {
      const queueMs = clock.now() - queued
      const digest = source.digest ?? sources.digestOf(source.sourceId)
      const examined = await turn.call<ExamineReply>(COMPILER_CALLS.examine, {
        ...this.#examineCall(source),
        ...(digest === undefined ? {} : { digest }),
      })
      return { examined, queueMs }
    }
    if (fleet !== undefined) return await next({ ...(await take(examine)), inTurn: take })
    return await take(async (turn) => await next({ ...(await examine(turn)), inTurn: (job) => job(turn) }))
  }

  /** Asks the fleet, with no removal of blobs meanwhile. Undefined when it has to be compiled here. */
  async #fetch(artifact: string, { tenant }: ArtifactSource, madeUp: MadeUp): Promise<Compiled | undefined> {
    const { fleet, gate, isReadOnly } = this.#parts
    // What made the compiler die here was asked for before.
    if (fleet === undefined || isReadOnly || madeUp !== 'drawn') return undefined
    return await gate.compile(async () => {
      const manifest = await fleet.fetch(artifact, tenant)
      return manifest === undefined
        ? undefined
        : { manifest: await this.#parts.publish(manifest), timings: {}, isFetched: true as const }
    })
  }

  async #make(
    artifact: string,
    source: ArtifactSource,
    examined: ExamineReply,
    how: Pick<CompileCall, 'madeUp' | 'sent'>,
    turn: CompilerTurn,
  ): Promise<Compiled> {
    const { options } = this.#parts
    if (this.#parts.isReadOnly) throw readOnlyFolder()
    const { dir, modelFile, intraOpThreads, warmUp } = source
    const { minBlobBytes, inlineLimitBytes, device, maxDeviation } = options
    const { files, bytes, signature, hasBodies } = examined
    const call: CompileCall = {
      cache: this.#parts.dir,
      artifact,
      device,
      maxDeviation,
      dir,
      modelFile,
      files,
      bytes,
      limits: this.#limits(),
      minBlobBytes,
      inlineLimitBytes,
      intraOpThreads,
      warmUp,
      ...how,
      ...(signature === undefined ? {} : { signature }),
      ...(hasBodies === undefined ? {} : { hasBodies }),
    }
    await requireFreeDisk(this.#parts.dir, source.bytes, options.minFreeDiskBytes)
    return await this.#parts.gate.compile(() => this.#run(call, source, examined, turn))
  }

  async #run(call: CompileCall, source: ArtifactSource, examined: ExamineReply, turn: CompilerTurn): Promise<Compiled> {
    const { clock, platform } = this.#parts
    const { artifact } = call
    const reply = await turn.call<CompileReply>(COMPILER_CALLS.compile, call)
    const replied = clock.now()
    try {
      // Files that change while they are digested and read would leave one's digest over another's content.
      await this.#throwIfChanged(source)
    } catch (error) {
      await this.#parts.discard(artifact)
      throw error
    }
    const { timings, ...made } = reply
    const fingerprint: Fingerprint = { source: examined.digest, ...platform }
    const manifest = await this.#parts.publish({
      format: 1,
      artifact,
      fingerprint,
      ...made,
      madeUp: call.madeUp,
      timings: rounded({ ...examined.timings, ...timings }),
    })
    this.#parts.fleet?.send(artifact)
    return { manifest, timings: { ...timings, manifest: clock.now() - replied } }
  }

  async #probe(artifact: string, { tenant, warmUp, intraOpThreads }: ProbeSource): Promise<Manifest> {
    const { dir, index, options, pool, clock } = this.#parts
    const before = index.get(artifact)
    if (before === undefined) throw gone()
    const release = index.hold(artifact, () => clock.now())
    try {
      const bytes = index.ownBytesOf(artifact) + before.blobs.reduce((sum, blob) => sum + blob.bytes, 0)
      const call: ProbeCall = {
        device: options.device,
        cache: this.#parts.dir,
        file: before.file,
        graphBytes: before.graph.bytes,
        bytes,
        form: before.form,
        signature: before.signature,
        limits: this.#limits(),
        intraOpThreads,
        warmUp,
        // What the check could not run, or must not, the probe does not try either.
        madeUp: before.check === 'first-request' ? 'none' : (before.madeUp ?? 'drawn'),
        budgetMs: options.probeBudgetMs,
      }
      const probe = await pool.inBackground(tenant, bytes, (turn) => turn.call<ProbeReply>(COMPILER_CALLS.probe, call))
      const current = index.get(artifact)
      // Removed meanwhile: a manifest written now would name files that are gone.
      if (current === undefined) throw gone()
      const manifest: Manifest = { ...current, probe }
      if (!this.#parts.isReadOnly) await writeManifest(dir, manifest)
      this.#parts.onEvent('artifact.probed', {
        artifact,
        isBatchSafe: probe.isBatchSafe,
        batchReason: probe.batchReason,
        runMs: probe.runMs,
        privateBytes: probe.privateBytes,
      })
      const kept = index.put(manifest, index.ownBytesOf(artifact))
      this.#parts.fleet?.send(artifact)
      return kept
    } finally {
      release()
    }
  }

  #examineCall({ dir, modelFile }: Pick<ArtifactSource, 'dir' | 'modelFile'>): ExamineCall {
    const { allowHardLinks, allowOrt } = this.#parts.options
    return { dir, modelFile, limits: this.#limits(), allowHardLinks, allowOrt }
  }

  #limits(): ExamineCall['limits'] {
    const { maxNodes, extraDomains } = this.#parts.options
    return { maxNodes, extraDomains }
  }

  async #throwIfChanged(source: ArtifactSource): Promise<void> {
    if (await source.isUnchanged()) return
    throw new GatewayError('MODEL_LOADING', 'the model file changed while it was compiled; it is tried again', {
      retryAfterMs: CHANGED_RETRY_MS,
    })
  }
}

/**
 * What to make up after a run on made-up inputs ended the compiler; undefined when it did not. Such a death says nothing of the model
 * as clients use it. After a crash ones are tried; a run that had to be stopped would hold the compiler as long again, so nothing is:
 * the first request is the check, in a worker that has limits of its own.
 */
function afterDeath(error: unknown, madeUp: MadeUp): MadeUp | undefined {
  if (!(error instanceof GatewayError) || error.facts.details?.phase !== 'check' || madeUp === 'none') return undefined
  return error.facts.details.strike === 'crash' && madeUp === 'drawn' ? 'ones' : 'none'
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** What a removed artifact is, for those who still have its manifest. */
export function gone(): GatewayError {
  return new GatewayError('MODEL_LOADING', 'the compiled form of the model is gone; it is made again when asked for', {
    retryAfterMs: CHANGED_RETRY_MS,
  })
}

function rounded(timings: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(timings).map(([phase, ms]) => [phase, Math.round(ms * 1000) / 1000]))
}

/** Phases as fields of an event: `open` becomes `openMs`. */
function inMs(timings: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(timings).map(([phase, ms]) => [`${phase}Ms`, ms]))
}
