/**
 * Probes artifacts after their first answer, one at a time and in the background: the hottest that waits goes first, because
 * what it learns (may requests be stacked, is packing worth it) pays only for models with traffic.
 */
import { LRUCache } from 'lru-cache'
import type { Manifest } from '../domain/artifact.ts'
import { asGatewayError, ERRORS } from '../domain/errors.ts'
import type { ModelVersion } from '../domain/model-version.ts'
import type { Clock } from '../lib/clock.ts'
import { detach } from '../lib/detach.ts'

const MAX_FAILED = 10_000
/** After a failure that passes: a busy model answers, and so asks for its probe, thousands of times a second. */
const TRY_AGAIN_MS = 60_000

export interface ProberOptions {
  readonly probe: (manifest: Manifest, version: ModelVersion) => Promise<Manifest>
  /** The artifact was measured; called once per probe. */
  readonly onProbed: (version: ModelVersion, manifest: Manifest) => void
  readonly onFailed: (version: ModelVersion, error: unknown) => void
  /** Artifacts that wait at most; the coldest are forgotten beyond it and come back with their next answer. */
  readonly maxWaiting: number
  readonly clock: Clock
}

interface Waiting {
  readonly version: ModelVersion
  readonly manifest: Manifest
  answers: number
}

export class Prober {
  readonly #options: ProberOptions
  readonly #waiting = new Map<string, Waiting>()
  /** When artifacts whose probe failed may be probed again; infinity where trying again would not help. */
  readonly #failed = new LRUCache<string, number>({ max: MAX_FAILED })
  #current: string | undefined
  #isRunning = false
  #isClosed = false

  constructor(options: ProberOptions) {
    this.#options = options
  }

  /** The model answered from an artifact that was not probed yet. */
  note(version: ModelVersion, manifest: Manifest): void {
    const { artifact } = manifest
    if (this.#isClosed || manifest.probe !== undefined || artifact === this.#current) return
    if ((this.#failed.get(artifact) ?? 0) > this.#options.clock.now()) return
    const waiting = this.#waiting.get(artifact)
    if (waiting !== undefined) {
      waiting.answers++
      return
    }
    if (this.#waiting.size >= this.#options.maxWaiting) return
    this.#waiting.set(artifact, { version, manifest, answers: 1 })
    if (!this.#isRunning) detach(this.#run())
  }

  get waiting(): number {
    return this.#waiting.size
  }

  /** Forgets what waits; the probe under way ends with its compiler. */
  close(): void {
    this.#isClosed = true
    this.#waiting.clear()
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    for (let next = this.#hottest(); next !== undefined; next = this.#hottest()) {
      this.#current = next.manifest.artifact
      try {
        const manifest = await this.#options.probe(next.manifest, next.version)
        if (!this.#isClosed) this.#options.onProbed(next.version, manifest)
      } catch (error) {
        const isPassing = ERRORS[asGatewayError(error).code].retry !== 'no'
        const again = isPassing ? this.#options.clock.now() + TRY_AGAIN_MS : Number.POSITIVE_INFINITY
        this.#failed.set(next.manifest.artifact, again)
        if (!this.#isClosed) this.#options.onFailed(next.version, error)
      }
    }
    this.#current = undefined
    this.#isRunning = false
  }

  #hottest(): Waiting | undefined {
    let best: Waiting | undefined
    for (const waiting of this.#waiting.values())
      if (best === undefined || waiting.answers > best.answers) best = waiting
    if (best !== undefined) this.#waiting.delete(best.manifest.artifact)
    return best
  }
}
