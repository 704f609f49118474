/**
 * What a worker's death says about a model. The process's oldest command tells what it was at; then, in this order:
 *
 *   files verified -> damaged: made again, nobody is to blame, requests wait for it
 *   several requests at once, or too much memory outside the spare -> each runs alone, once, in the spare
 *   one request alone, or an open -> a strike; two by different bodies quarantine the key
 *
 * Every request it is given ends exactly once. A death from outside (out of memory, an operator) is nobody's strike.
 */
import type { EntryTable } from '../cache/entry-table.ts'
import type { GatewayError } from '../domain/errors.ts'
import type { StrikeReason } from '../domain/quarantine.ts'
import type { Clock } from '../lib/clock.ts'
import { detach } from '../lib/detach.ts'
import type { HandOver } from '../scheduler/work-queues.ts'
import type { Damage } from './damage.ts'
import type { Death, DeathCause, WorkerDied } from './death.ts'
import type { Quarantine } from './quarantine.ts'
import { crashedAlone, crashedOpening, untried } from './refusals.ts'
import type { ReplicaRequest } from './request.ts'
import type { Resident } from './residents.ts'
import type { Trials } from './trials.ts'

export interface BlameOptions {
  readonly clock: Clock
  readonly table: EntryTable
  readonly residents: ReadonlyMap<string, Resident>
  readonly quarantine: Quarantine
  readonly damage: Damage
  readonly trials: Trials
  /** Digests an artifact's files against what was written. @returns the corrupt ones, as paths in the cache folder */
  readonly verify: (artifact: string) => Promise<readonly string[]>
  /** Ends the model's requests that wait for a worker, where there is a reason. */
  readonly refuseWaiting: (key: string, reason: (request: ReplicaRequest) => GatewayError | undefined) => void
  readonly release: (request: ReplicaRequest) => void
  /** Models may have become free to run. */
  readonly wake: () => void
  /** A worker died under these requests, which run alone next. */
  readonly onSuspects: (key: string, requests: number, death: Death) => void
  readonly onUnverified: (key: string, error: unknown) => void
}

/** What the inquiry into one death came to. */
type Finding =
  | { readonly s: 'damaged' }
  /** `isVerified`: the files were found whole, so that the model may be blamed. */
  | { readonly s: 'intact'; readonly death: Death; readonly isVerified: boolean }

/** While its files are looked at, a model is kept from workers, but not for longer than this. */
const HOLD_MS = 2000
const REASONS: Readonly<Record<DeathCause, StrikeReason | undefined>> = {
  crash: 'crash',
  hang: 'hang',
  memory: 'memory',
  outside: undefined,
}

export class Blame {
  readonly #options: BlameOptions
  /** Models kept from workers, by the inquiries that want it. */
  readonly #held = new Map<string, number>()
  /** One for each death, whoever brings the news. */
  readonly #inquiries = new WeakMap<WorkerDied, Promise<Finding>>()

  constructor(options: BlameOptions) {
    this.#options = options
  }

  /** A worker died while it was at this hand-over, or at the open it waited for. All its requests are this object's from now on. */
  handOverDied({ key, items }: HandOver<ReplicaRequest>, died: WorkerDied): void {
    detach(this.#judge(key, items, died, items.length === 1, false))
  }

  /** A worker died while it opened the model, whether or not requests waited for that. */
  openDied(key: string, died: WorkerDied): void {
    detach(this.#inquire(key, died))
  }

  /** The spare died while it was at this request alone. */
  trialDied(request: ReplicaRequest, died: WorkerDied): Promise<void> {
    return this.#judge(request.key, [request], died, true, true)
  }

  /** Is the model kept from workers for now? */
  isHeld(key: string): boolean {
    return this.#held.has(key)
  }

  async #judge(
    key: string,
    requests: readonly ReplicaRequest[],
    died: WorkerDied,
    wasAlone: boolean,
    isSpare: boolean,
  ): Promise<void> {
    const { damage, trials, release, onSuspects } = this.#options
    const finding = await this.#inquire(key, died)
    if (finding.s === 'damaged') {
      damage.sendBack([...requests, ...trials.withdraw(key)])
      return
    }
    const { death, isVerified } = finding
    if ((died.during === 'run' && !wasAlone) || (death.cause === 'memory' && !isSpare)) {
      onSuspects(key, requests.length, death)
      trials.add(requests, death.cause === 'hang')
      return
    }
    for (const request of requests) {
      if (died.during === 'run' && isVerified) this.#strike(key, death, request)
      else if (death.cause === 'memory' && isVerified) this.#strike(key, death)
      const error = died.during === 'open' ? crashedOpening(death) : crashedAlone(death)
      request.fail(isVerified ? error : untried(`${error.message}; its files could not be verified`))
      release(request)
    }
  }

  #inquire(key: string, died: WorkerDied): Promise<Finding> {
    const known = this.#inquiries.get(died)
    if (known !== undefined) return known
    const finding = this.#investigate(key, died)
    this.#inquiries.set(died, finding)
    return finding
  }

  async #investigate(key: string, died: WorkerDied): Promise<Finding> {
    const letGo = this.#hold(key)
    try {
      const { death } = died
      const { residents, damage } = this.#options
      const resident = residents.get(key)
      const corrupt = resident === undefined ? undefined : await this.#verify(resident)
      if (resident !== undefined && corrupt !== undefined && corrupt.length > 0) {
        damage.condemn(resident)
        damage.found(corrupt)
      }
      // By someone else's look at the files, perhaps, who has taken them away already.
      if (resident?.isDamaged === true) return { s: 'damaged' }
      const isVerified = corrupt !== undefined
      // In a worker full of other models' sessions, too much memory is no proof against the one that ran or was opened.
      if (died.during === 'open' && death.cause !== 'memory' && isVerified) this.#strike(key, death)
      return { s: 'intact', death, isVerified }
    } finally {
      letGo()
    }
  }

  /** @returns undefined when it cannot be told */
  async #verify({ version, manifest }: Resident): Promise<readonly string[] | undefined> {
    const { verify, onUnverified } = this.#options
    try {
      return await verify(manifest.artifact)
    } catch (error) {
      onUnverified(version.key, error)
      return undefined
    }
  }

  /** Held against the model unless nobody can tell that it was the model. */
  #strike(key: string, { cause, how, workerId }: Death, request?: ReplicaRequest): void {
    const { residents, quarantine, table, refuseWaiting } = this.#options
    const reason = REASONS[cause]
    const version = request?.version ?? residents.get(key)?.version
    if (reason === undefined || version === undefined) return
    const phase = request === undefined ? ('open' as const) : ('run' as const)
    quarantine.strike(version, { reason, how, phase, process: workerId }, request?.content)
    const isRefused = quarantine.refusal(version) !== undefined
    // Queued requests with the same body, or all of them, need not find out the same way.
    refuseWaiting(key, ({ content }) => quarantine.refusal(version, content))
    if (isRefused) table.drain(key, 'quarantined')
  }

  #hold(key: string): () => void {
    const { clock, wake } = this.#options
    this.#held.set(key, (this.#held.get(key) ?? 0) + 1)
    let isHolding = true
    const letGo = () => {
      timer.cancel()
      if (!isHolding) return
      isHolding = false
      const left = (this.#held.get(key) ?? 1) - 1
      if (left === 0) this.#held.delete(key)
      else this.#held.set(key, left)
      wake()
    }
    const timer = clock.after(HOLD_MS, letGo)
    return letGo
  }
}
