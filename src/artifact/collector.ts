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
  /** Nothing is evicted sooner than this after the start: those who use the folder have to say first what they use. */
  readonly evictAfterMs: number
  /** False when some manifests could not be read, so that nobody knows which files they name: then nothing is swept. */
  readonly sweeps: boolean
  readonly index: ArtifactIndex
  readonly gate: CompileGate
  /** Takes an artifact off the disk and out of the index. */
  readonly remove: (artifact: string) => Promise<void>
  readonly onEvent: (name: string, fields: Readonly<Record<string, string | number>>) => void
}

export class Collector {
  readonly #options: CollectorOptions
  readonly #flight = new SingleFlight<'collect', void>()
  /** Blobs that lost their last reference. */
  readonly #unreferenced = new Set<string>()
  readonly #evictsFromMs: number
  #timer: Timer | undefined
  #first: Timer | undefined

  constructor(options: CollectorOptions) {
    this.#options = options
    this.#evictsFromMs = options.clock.now() + options.evictAfterMs
  }

  /**
   * Takes away what no manifest names, evicts, both in the background, and goes on doing so now and then. At the start no compile is
   * under way here, so whatever has no manifest was left by a process that was killed.
   */
  start(): void {
    const { clock, everyMs, evictAfterMs, gate } = this.#options
    this.#timer = clock.every(everyMs, () => this.#quietly(() => this.collect()))
    this.#quietly(() => gate.remove(() => this.#sweep(Number.POSITIVE_INFINITY)))
    if (evictAfterMs === 0) this.#quietly(() => this.collect())
    else this.#first = clock.after(evictAfterMs, () => this.#quietly(() => this.collect()))
  }

  stop(): void {
    this.#timer?.cancel()
    this.#first?.cancel()
  }

  /** The folder grew: collects if it is over its budget. */
  grown(): void {
    if (this.#options.index.bytes > this.#options.diskBytes) this.#quietly(() => this.collect())
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

  /** Removes blobs that lost their last reference: now, or when no compile that is under way can want them any more. */
  async dropBlobs(digests: readonly string[]): Promise<void> {
    if (digests.length === 0) return
    for (const digest of digests) this.#unreferenced.add(digest)
    const { gate } = this.#options
    if (gate.isIdle) await gate.remove(this.#dropUnreferenced)
    else gate.removeLater(this.#dropUnreferenced)
  }

  readonly #dropUnreferenced = async (): Promise<void> => {
    const { dir, index } = this.#options
    for (const digest of this.#unreferenced) {
      this.#unreferenced.delete(digest)
      // Looked at blob by blob: an artifact may have been put back meanwhile.
      if (index.references(digest) > 0) continue
      // What a disk refuses to give up now, a later sweep takes.
      await rm(join(dir, blobPath(digest)), { force: true }).catch(() => {})
      killPoint('evict')
    }
  }

  async #evict(budgetBytes: number): Promise<void> {
    const { clock, index, diskBytes, onEvent, remove } = this.#options
    if (clock.now() < this.#evictsFromMs) return
    const before = index.bytes
    const victims = index.chooseVictims(budgetBytes)
    for (const artifact of victims) if (!index.isHeld(artifact)) await remove(artifact)
    if (victims.length > 0) onEvent('artifacts.evicted', { artifacts: victims.length, bytes: before - index.bytes })
    if (index.bytes > diskBytes) onEvent('artifacts.over-budget', { bytes: index.bytes, budgetBytes: diskBytes })
  }

  /** Takes away what no manifest names and has not changed since `before` (wall time). */
  async #sweep(before: number): Promise<void> {
    const { dir, index, onEvent, sweeps } = this.#options
    if (!sweeps) return
    const orphans = await sweepOrphans(dir, before, (artifact) => index.get(artifact) !== undefined)
    const blobs = await sweepBlobs(dir, before, (digest) => index.references(digest) > 0)
    if (orphans.length + blobs.length > 0) onEvent('artifacts.swept', { orphans: orphans.length, blobs: blobs.length })
  }

  #quietly(work: () => Promise<void>): void {
    work().catch((error: unknown) => this.#options.onEvent('artifacts.collect-failed', { error: String(error) }))
  }
}
