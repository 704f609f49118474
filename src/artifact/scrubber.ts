/** Digests every artifact again in time, slowly and in the background, so that a disk that garbles bytes is found before a caller is. */
import type { Clock, Timer } from '../lib/clock.ts'
import type { ArtifactIndex } from './artifact-index.ts'

/** Rounds, so that the background compiler may end between them. */
const ROUND_MS = 60_000
/** Of a round, however small they are. */
const MAX_ARTIFACTS = 64

export interface ScrubberOptions {
  /** 0 = no scrub. */
  readonly bytesPerSecond: number
  readonly clock: Clock
  readonly index: ArtifactIndex
  /** Digests an artifact's files and removes it when they are corrupt. */
  verify(artifact: string): Promise<unknown>
  /** Nothing more useful waits for the background compiler. */
  isIdle(): boolean
}

export class Scrubber {
  readonly #options: ScrubberOptions
  #pass: MapIterator<string> | undefined
  #timer: Timer | undefined
  #isStopped = false

  constructor(options: ScrubberOptions) {
    this.#options = options
  }

  start(): void {
    if (this.#options.bytesPerSecond > 0) this.#next()
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }

  #next(): void {
    if (!this.#isStopped) this.#timer = this.#options.clock.after(ROUND_MS, () => this.#runRound())
  }

  #runRound(): void {
    const again = () => this.#next()
    // A child that dies of it tells nothing about the files: the next pass will.
    this.#round().then(again, again)
  }

  async #round(): Promise<void> {
    const options = this.#options
    let left = (options.bytesPerSecond * ROUND_MS) / 1000
    for (let count = 0; count < MAX_ARTIFACTS && left > 0 && !this.#isStopped && options.isIdle(); count++) {
      const manifest = options.index.get(this.#take() ?? '')
      if (manifest === undefined) return
      left -= manifest.blobs.reduce((sum, blob) => sum + blob.bytes, manifest.graph.bytes)
      await options.verify(manifest.artifact)
    }
  }

  /** Names in the index's order; a map's iterator takes additions and removals under way. */
  #take(): string | undefined {
    this.#pass ??= this.#options.index.names()
    const next = this.#pass.next()
    if (next.done === true) this.#pass = undefined
    return next.done === true ? undefined : next.value
  }
}
