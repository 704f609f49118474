/** Ties together what a replica does when a worker dies: blame, trials in the spare, damage to files, and the quarantine. */
import type { EntryTable } from '../cache/entry-table.ts'
import type { PlacementTable } from '../cache/placement-table.ts'
import type { Config } from '../config/schema.ts'
import type { ModelVersion } from '../domain/model-version.ts'
import type { QuarantineRecord, Strike } from '../domain/quarantine.ts'
import { trustDomain } from '../domain/trust-domain.ts'
import type { Clock } from '../lib/clock.ts'
import { Blame } from '../replica/blame.ts'
import { Damage } from '../replica/damage.ts'
import type { Death } from '../replica/death.ts'
import type { Dispatcher } from '../replica/dispatcher.ts'
import { HANG_TIMES_EXPECTED, OPEN_HANG_TIMES } from '../replica/hang-watch.ts'
import type { QuarantineRecords, ReleaseReason } from '../replica/quarantine.ts'
import { Quarantine } from '../replica/quarantine.ts'
import type { ReplicaRequest } from '../replica/request.ts'
import type { Resident } from '../replica/residents.ts'
import type { Sessions } from '../replica/sessions.ts'
import type { Spare, Verdict } from '../replica/trials.ts'
import { Trials } from '../replica/trials.ts'
import type { Estimates } from '../scheduler/estimates.ts'
import type { HandOverReport } from '../worker/messages.ts'

/** What becomes of models under suspicion, for logs and metrics. Called synchronously; must not throw. */
export interface BlameWatch {
  onSuspects(key: string, requests: number, death: Death): void
  /** A suspect was run alone, or was not. */
  onTried(verdict: Verdict): void
  onUnverified(key: string, error: unknown): void
  onStruck(version: ModelVersion, strike: Strike, counting: number): void
  /** `file`: of its record, relative to the cache folder. */
  onQuarantined(record: QuarantineRecord, file: string): void
  onReleased(record: QuarantineRecord, reason: ReleaseReason): void
  onQuarantineUnwritten(record: QuarantineRecord, error: unknown): void
}

/** What the composition above brings from disk and processes. */
export interface BlameMeans {
  readonly spare: Spare
  readonly records: QuarantineRecords
  /** Records as they were on disk at start. */
  readonly initial: readonly QuarantineRecord[]
  /** What judgements of work, and of compiles, depend on beside a model's bytes. */
  readonly conditions: { readonly work: string; readonly compile: string }
  /** Digests an artifact's files. @returns the corrupt ones, as paths in the cache folder */
  readonly verify: (artifact: string) => Promise<readonly string[]>
}

export interface BlameRoomsOptions extends BlameMeans {
  readonly clock: Clock
  readonly config: Pick<Config, 'worker' | 'quarantine'>
  readonly table: EntryTable
  readonly placements: PlacementTable
  readonly residents: ReadonlyMap<string, Resident>
  readonly sessions: Sessions
  readonly estimates: Estimates
  readonly dispatcher: Dispatcher
  readonly loadAgain: (request: ReplicaRequest) => void
  readonly onAnswered: (request: ReplicaRequest, report: HandOverReport) => void
  readonly watch: BlameWatch
}

export function blameRooms(options: BlameRoomsOptions) {
  const { clock, config, table, placements, residents, sessions, estimates, dispatcher, watch } = options
  const { hangMs, maxSuspects } = config.worker
  const release = (request: ReplicaRequest) => dispatcher.release(request)
  const quarantine = new Quarantine({
    clock,
    rules: config.quarantine,
    expireMs: config.quarantine.expireMs,
    conditions: options.conditions,
    records: options.records,
    initial: options.initial,
    watch: {
      onStruck: (version, strike, counting) => watch.onStruck(version, strike, counting),
      onQuarantined: (record) => watch.onQuarantined(record, options.records.fileOf(record.key)),
      onReleased: (record, reason) => {
        // What its compile proved is to be found out anew.
        table.forgetFailure(record.key)
        watch.onReleased(record, reason)
      },
      onWriteFailed: (record, error) => watch.onQuarantineUnwritten(record, error),
    },
  })
  const damage = new Damage({
    table,
    residents,
    withdraw: (key) => dispatcher.withdraw(key),
    takeBack: (request) => dispatcher.takeBack(request),
    release,
    loadAgain: options.loadAgain,
  })
  const trials: Trials = new Trials({
    clock,
    spare: options.spare,
    domainOf: (key) => trustDomain(key, config.worker.isolation),
    sessions,
    maxWaiting: maxSuspects,
    limitMs: (key, kind) =>
      kind === 'open' ? OPEN_HANG_TIMES * hangMs : Math.max(hangMs, HANG_TIMES_EXPECTED * estimates.singleMs(key)),
    refusal: ({ version, content }) => quarantine.refusal(version, content),
    onDied: (request, died) => blame.trialDied(request, died),
    isTrusted: (key) => damage.isTrusted(key),
    onUntrusted: (requests) => damage.sendBack(requests),
    onAnswered: (request, report) => options.onAnswered(request, report),
    onTried: (verdict) => watch.onTried(verdict),
    onDown: (workerId) => placements.workerDown(workerId, 'spare down'),
    release,
  })
  const blame: Blame = new Blame({
    clock,
    table,
    residents,
    quarantine,
    damage,
    trials,
    verify: (artifact) => options.verify(artifact),
    refuseWaiting: (key, reason) => dispatcher.refuse(key, reason),
    release,
    wake: () => dispatcher.wake(),
    onSuspects: (key, requests, death) => watch.onSuspects(key, requests, death),
    onUnverified: (key, error) => watch.onUnverified(key, error),
  })
  return { quarantine, damage, trials, blame }
}
