/** What a server tells of itself at a glance, as `GET /admin/overview` sends it and `modelmux top` shows it. Units are in the names. */
import type { CacheOutcome } from '../domain/phases.ts'
import type { JournalRecord } from './journal-record.ts'

export interface Overview {
  readonly server: {
    readonly version: string
    readonly replica: string
    readonly uptimeSeconds: number
    readonly isDraining: boolean
    readonly requestsInFlight: number
  }
  readonly traffic: TrafficFacts & {
    /** Share of the last seconds' answers whose model was open; null before the first. */
    readonly recentHitRatio: number | null
  }
  readonly models: {
    /** Versions that the registry lists. */
    readonly registered: number
    /** Versions in memory. */
    readonly resident: number
    /** The busiest, most requests a second first. */
    readonly hottest: readonly ModelOverview[]
  }
  readonly workers: readonly WorkerOverview[]
  readonly ledger: {
    readonly budgetBytes: number
    readonly usedBytes: number
    readonly bytesByKind: Readonly<Record<string, number>>
  }
  readonly queue: { readonly requests: number; readonly bytes: number; readonly loads: number }
  readonly compilers: readonly { readonly lane: string; readonly running: number; readonly waiting: number }[]
  /** The latest of the journal, oldest first. */
  readonly events: readonly JournalRecord[]
}

export interface TrafficFacts {
  /** Inferences a second, over the last half minute, what is recent counting more. */
  readonly requestsPerSecond: number
  /** Since the server started, or since the model was last forgotten for lack of requests. */
  readonly requests: number
  readonly errors: number
  /** Of the latest one to two thousand; null before the first. */
  readonly p50Ms: number | null
  readonly p99Ms: number | null
  readonly outcomes: Readonly<Record<CacheOutcome, number>>
}

export interface ModelOverview extends TrafficFacts {
  readonly name: string
  readonly version: string
  /** Of its entry: `ready`, a phase of its load, `failed`; `cold` when it is not in memory. */
  readonly state: string
  readonly isPinned: boolean
  readonly privateBytes: number
  /** Of its tensors, which other models may share. */
  readonly blobBytes: number
  /** Workers it is open in. */
  readonly workers: readonly string[]
  readonly queued: number
}

export interface WorkerOverview {
  readonly id: string
  readonly pid: number
  readonly isUp: boolean
  /** Cores that it kept busy lately; null while unknown. */
  readonly busyCores: number | null
  readonly privateBytes: number
  readonly sessions: number
  readonly mappings: number
  readonly mappingLimit: number
  readonly restarts: number
  /** Pages it had to wait for the disk for, a second. */
  readonly majorFaultsPerSecond: number
}
