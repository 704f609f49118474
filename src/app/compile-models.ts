/** Compiles versions that nobody asked for yet, a few at a time; what is there is passed over, and one that fails stops no other. */
import type { ArtifactRoom } from '../artifact/artifact-room.ts'
import type { FleetCache } from '../artifact/fleet-cache.ts'
import type { CompiledModel } from '../cli/compile-report.ts'
import { asGatewayError } from '../domain/errors.ts'
import type { ModelVersion } from '../domain/model-version.ts'
import { Semaphore } from '../lib/semaphore.ts'
import { waitFor } from '../lib/wait-for.ts'
import { compileSource } from '../replica/loads.ts'
import type { Store } from '../store/store.ts'

export interface CompileModelsOptions {
  readonly artifacts: Pick<ArtifactRoom, 'find' | 'compile'>
  readonly store: Store
  /** The version with the settings that it has by now: its files may have told some as they were staged. */
  readonly current: (version: ModelVersion) => ModelVersion
  /** Of the process that owns the cache folder, where artifacts are shared. */
  readonly fleet: () => Pick<FleetCache, 'send' | 'idle' | 'queued'> | undefined
  readonly parallel: number
  readonly onDone: (version: ModelVersion) => void
}

/** What waits to be sent is let go before more is compiled: the line is short, and what does not fit is dropped. */
const MAX_UNSENT = 32

/** @returns what came of each that was reached before the signal aborted; never rejects */
export async function compileModels(
  versions: Iterable<ModelVersion>,
  { artifacts, store, current, fleet, parallel, onDone }: CompileModelsOptions,
  signal: AbortSignal,
): Promise<CompiledModel[]> {
  const compileOne = async (version: ModelVersion): Promise<Omit<CompiledModel, 'model'>> => {
    const known = await artifacts.find(version.sourceId)
    if (known !== undefined) {
      fleet()?.send(known.artifact)
      return { outcome: 'there', artifact: known.artifact }
    }
    const staged = await store.stage(version, signal)
    try {
      const { manifest, timings, isFetched } = await artifacts.compile(compileSource(staged, current(version)), signal)
      // Without a phase of a compile, the same bytes were known under another name.
      const outcome = isFetched === true ? 'fetched' : timings.optimise === undefined ? 'there' : 'compiled'
      return { outcome, artifact: manifest.artifact }
    } finally {
      staged.release()
    }
  }
  const done: CompiledModel[] = []
  const turns = new Semaphore(parallel)
  const all = Array.from(versions, (version) =>
    turns.use(async () => {
      const model = `${version.name}:${version.version}`
      try {
        done.push({ model, ...(await compileOne(version)) })
      } catch (error) {
        if (signal.aborted) return
        const { code, message } = asGatewayError(error)
        done.push({ model, outcome: 'failed', code, error: message })
      }
      onDone(version)
      const sender = fleet()
      if (sender !== undefined && sender.queued >= MAX_UNSENT) await waitFor(sender.idle(), signal)
    }, signal),
  )
  await Promise.allSettled(all)
  return done
}
