/**
 * The compiled models of a fleet, for a cache folder that lacks one: asked before a compile, told after one. It only ever helps: whatever
 * goes wrong with it is an event and a count, and the model is compiled here.
 */
import type { Manifest } from '../domain/artifact.ts'
import { Circuit } from '../lib/circuit.ts'
import type { Clock } from '../lib/clock.ts'
import { FleetFetch, type FleetFetchParts } from './fleet-fetch.ts'
import type { FleetLimits, FleetPlace } from './fleet-place.ts'
import { FleetTrouble, manifestKey } from './fleet-place.ts'
import type { DropReason, FleetSenderParts } from './fleet-sender.ts'
import { FleetSender } from './fleet-sender.ts'

export interface FleetOptions {
  readonly place: FleetPlace
  readonly limits: FleetLimits
  /** What is compiled here is sent there. */
  readonly sends: boolean
}

export interface FleetParts
  extends Pick<FleetFetchParts, 'dir' | 'minFreeDiskBytes' | 'whole' | 'checkGraph'>,
    Pick<FleetSenderParts, 'hold'> {
  readonly clock: Clock
  readonly onEvent: (name: string, fields: Readonly<Record<string, string | number | boolean>>) => void
}

/** `failed`: this machine's disk. `skipped`: the place did not answer a moment ago and was not asked. */
export type LookupOutcome = 'hit' | 'miss' | 'wrong' | 'unavailable' | 'late' | 'failed' | 'skipped'

/** Failures in a row after which the place is left alone. */
const FAILURES = 3
/** Objects remembered to be wrong; beyond, they are found again. */
const MAX_WRONG = 10_000

export class FleetCache {
  readonly #parts: FleetParts
  readonly #limits: FleetLimits
  readonly #circuit: Circuit
  readonly #fetch: FleetFetch
  readonly #sender: FleetSender | undefined
  readonly #wrong = new Set<string>()
  readonly #closing = new AbortController()
  readonly #lookups = new Map<LookupOutcome, number>()
  readonly #drops = new Map<DropReason, number>()
  readonly #bytes = { fetched: 0, sent: 0 }

  constructor({ place, limits, sends }: FleetOptions, parts: FleetParts) {
    this.#parts = parts
    this.#limits = limits
    this.#circuit = new Circuit({ failures: FAILURES, openMs: limits.retryMs })
    const common = { ...parts, place, limits }
    this.#fetch = new FleetFetch({ ...common, onBytes: (bytes) => (this.#bytes.fetched += bytes) })
    if (!sends) return
    this.#sender = new FleetSender({
      ...common,
      circuit: this.#circuit,
      wrong: this.#wrong,
      onBytes: (bytes) => (this.#bytes.sent += bytes),
      onSent: (artifact, sent) => parts.onEvent('fleet.sent', { artifact, ...sent }),
      onDropped: (artifact, reason, error) => {
        add(this.#drops, reason)
        parts.onEvent('fleet.dropped', { artifact, reason, error: messageOf(error) })
      },
    })
  }

  /**
   * Brings the artifact's files into the folder, if the fleet has it; its manifest is the caller's to write. To be run where nobody takes
   * blobs away. Never rejects.
   */
  async fetch(artifact: string, tenant: string): Promise<Manifest | undefined> {
    const { clock, onEvent } = this.#parts
    const began = clock.now()
    if (!this.#circuit.take(began)) {
      add(this.#lookups, 'skipped')
      return undefined
    }
    try {
      const brought = await this.#fetch.bring(artifact, tenant, this.#closing.signal)
      if (this.#circuit.succeeded()) onEvent('fleet.recovered', {})
      add(this.#lookups, brought === undefined ? 'miss' : 'hit')
      if (brought === undefined) return undefined
      const { manifest, ...counts } = brought
      onEvent('fleet.fetched', { artifact, ...counts, ms: Math.round(clock.now() - began) })
      return manifest
    } catch (error) {
      this.#failed(artifact, error)
      return undefined
    }
  }

  /** Sends the artifact, or what was measured of it since, in the background; nothing where this process does not send. */
  send(artifact: string): void {
    this.#sender?.send(artifact)
  }

  /** Artifacts that wait to be sent. */
  get queued(): number {
    return this.#sender?.queued ?? 0
  }

  /** Resolves when nothing is to be sent any more. */
  async idle(): Promise<void> {
    await this.#sender?.idle()
  }

  get lookups(): ReadonlyMap<LookupOutcome, number> {
    return this.#lookups
  }

  get drops(): ReadonlyMap<DropReason, number> {
    return this.#drops
  }

  get bytes(): { readonly fetched: number; readonly sent: number } {
    return this.#bytes
  }

  /** Ends what is on its way. Idempotent. */
  async close(): Promise<void> {
    this.#closing.abort(new FleetTrouble('unavailable', 'this process is ending'))
    await this.#sender?.close()
  }

  #failed(artifact: string, error: unknown): void {
    const { clock, onEvent } = this.#parts
    const outcome = outcomeOf(error)
    add(this.#lookups, outcome)
    onEvent('fleet.fetch-failed', { artifact, outcome, error: messageOf(error) })
    if (outcome === 'wrong') this.#distrust(artifact, error)
    if (outcome === 'unavailable' || outcome === 'late') {
      if (this.#circuit.failed(clock.now())) onEvent('fleet.left-alone', { ms: this.#limits.retryMs })
      return
    }
    this.#circuit.succeeded()
  }

  /** Whoever compiles it now replaces what is there. */
  #distrust(artifact: string, error: unknown): void {
    if (this.#wrong.size >= MAX_WRONG) return
    this.#wrong.add(manifestKey(artifact))
    if (error instanceof FleetTrouble && error.key !== undefined) this.#wrong.add(error.key)
  }
}

function outcomeOf(error: unknown): LookupOutcome {
  if (!(error instanceof FleetTrouble)) return 'failed'
  return error.kind === 'missing' ? 'wrong' : error.kind
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : ''
}

function add<K>(counts: Map<K, number>, key: K): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}
