/** Keeps the cache folder within its budget and free of rubbish. One collection at a time. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { killPoint } from '../child/kill-points.ts'
import type { Clock, Timer } from '../lib/clock.ts'
import { SingleFlight } from '../lib/single-flight.ts'
import type { ArtifactIndex } from './artifact-index.ts'
import { sweepBlobs, sweepOrphans } from './cache-folder.ts'
import type { CompileGate } from './compile-gate.ts'
import { blobPath } from './layout.ts'

/** Younger, a file without a manifest may belong to a compile under way. */
const RUBBISH_AGE_MS = 3_600_000

export interface CollectorOptions {
  readonly dir: string
  readonly diskBytes: number
  readonly clock: Clock
  readonly everyMs: number
  readonly index: ArtifactIndex
  readonly gate: CompileGate
  /** Takes an artifact off the disk and out of the index. */
  readonly remove: (artifact: string) => Promise<void>
  readonly onEvent: (name: string, fields: Readonly<Record<string, string | number>>) => void
}

export class Collector {
  readonly #options: CollectorOptions
  readonly #flight = new SingleFlight<'collect', void>()
  #timer: Timer | undefined

  constructor(options: CollectorOptions) {
    this.#options = options
  }

  /** Collects now, in the background, and again now and then. */
  start(): void {
    this.#timer = this.#options.clock.every(this.#options.everyMs, () => this.#collectQuietly())
    this.#collectQuietly()
  }

  stop(): void {
    this.#timer?.cancel()
  }

  /** The folder grew: collects if it is over its budget. */
  grown(): void {
    if (this.#options.index.bytes > this.#options.diskBytes) this.#collectQuietly()
  }

  collect(): Promise<void> {
    return this.#flight.run('collect', async () => {
      await this.#evict(this.#options.diskBytes)
      await this.#sweep(this.#options.clock.wall() - RUBBISH_AGE_MS)
    })
  }

  /**
   * The disk is full below the budget: evicts until so many bytes more would fit, as far as what is out of use goes, and takes away
   * whatever no manifest names, be it ever so young: with no compile under way nobody is about to. Waits for those that are.
   */
  async makeRoom(bytes: number): Promise<void> {
    await this.#evict(Math.max(0, this.#options.index.bytes - bytes))
    await this.#options.gate.remove(() => this.#sweep(Number.POSITIVE_INFINITY))
  }

  /** Removes blobs that lost their last reference, unless a compile might want them; the sweep gets those later. */
  async dropBlobs(digests: readonly string[]): Promise<void> {
    const { dir, gate, index } = this.#options
    if (digests.length === 0 || !gate.isIdle) return
    await gate.remove(async () => {
      for (const digest of digests) {
        // Looked at blob by blob: an artifact may have been put back meanwhile.
        if (index.references(digest) > 0) continue
        await rm(join(dir, blobPath(digest)), { force: true })
        killPoint('evict')
      }
    })
  }

  async #evict(budgetBytes: number): Promise<void> {
    const { index, diskBytes, onEvent, remove } = this.#options
    const before = index.bytes
    const victims = index.chooseVictims(budgetBytes)
    for (const artifact of victims) if (!index.isHeld(artifact)) await remove(artifact)
    if (victims.length > 0) onEvent('artifacts.evicted', { artifacts: victims.length, bytes: before - index.bytes })
    if (index.bytes > diskBytes) onEvent('artifacts.over-budget', { bytes: index.bytes, budgetBytes: diskBytes })
  }

  /** Takes away what no manifest names and has not changed since `before` (wall time). */
  async #sweep(before: number): Promise<void> {
    const { dir, index, onEvent } = this.#options
    const orphans = await sweepOrphans(dir, before, (artifact) => index.get(artifact) !== undefined)
    const blobs = await sweepBlobs(dir, before, (digest) => index.references(digest) > 0)
    if (orphans.length + blobs.length > 0) onEvent('artifacts.swept', { orphans: orphans.length, blobs: blobs.length })
  }

  #collectQuietly(): void {
    this.collect().catch((error: unknown) =>
      this.#options.onEvent('artifacts.collect-failed', { error: String(error) }),
    )
  }
}
