/** What a load is, as plain data: it is sent to the generator's process. Every load is bounded in time and in requests. */
import type { ClassName, Family } from '../models/index.ts'
import type { ArrivalKind } from './arrivals.ts'

export interface Target {
  readonly host: string
  readonly port: number
}

/** Customers 1 to `customers` of one recipe, or from `firstCustomer` on, as `writeFolder` names them. */
export interface ModelGroup {
  readonly className: ClassName
  readonly family: Family
  readonly seed: number
  readonly customers: number
  readonly firstCustomer?: number
  readonly prefix?: string
  readonly model?: string
}

export type Encoding = 'json' | 'binary'

export type Popularity =
  /** Every model once, in order; the load ends with the last. */
  | { readonly kind: 'once' }
  | { readonly kind: 'uniform' }
  /** Ranks are dealt to models at random; with drift, every `driftSeconds` all ranks move on by `driftModels` models. */
  | { readonly kind: 'zipf'; readonly exponent: number; readonly driftSeconds?: number; readonly driftModels?: number }

export type Pace =
  /** As many requests in flight as connections, each sent when the one before it was answered. */
  | { readonly kind: 'closed'; readonly connections: number }
  /** Sent at given times whatever the answers do; what finds no free connection waits, and its wait counts. */
  | { readonly kind: 'open'; readonly rps: number; readonly arrivals: ArrivalKind; readonly connections: number }

export interface LoadPlan {
  readonly target: Target
  readonly groups: readonly ModelGroup[]
  readonly encoding: Encoding
  /** Name the model in the header `serve_multiplexed_model_id` besides the URL, for servers that do not read it there. */
  readonly namesInHeader?: boolean
  /** Rows of each request. */
  readonly rows: number
  /** Different bodies; all models get the same ones, so that an answer of the wrong model shows. */
  readonly inputsPerModel: number
  readonly popularity: Popularity
  readonly pace: Pace
  /** Chooses inputs, models and arrival times. */
  readonly seed: number
  /** Sent and answered, but not counted. */
  readonly warmUpSeconds: number
  readonly seconds: number
  readonly maxRequests: number
  readonly timeoutMs: number
  /** `all`: every answer is compared with the model's own; `status`: only its status is looked at. */
  readonly check: 'all' | 'status'
  /** Process whose tree's CPU time is measured over the same stretch as the answers. */
  readonly serverPid?: number
  /** Intervals between progress reports; 0 = none. */
  readonly progressMs: number
}

/** Latencies in milliseconds, counted from the intended send time in an open loop. */
export interface LatencySummary {
  readonly count: number
  readonly mean: number
  readonly p50: number
  readonly p95: number
  readonly p99: number
  readonly max: number
}

export interface LoadReport {
  /** Length of the measured part. */
  readonly seconds: number
  /** Right answers per second. */
  readonly rps: number
  readonly latency: LatencySummary
  /** How late the generator itself sent (open loop only): part of `latency`, and not the server's fault. */
  readonly lateness: LatencySummary
  readonly answered: number
  /** Answers that differ from the model's own. */
  readonly wrong: number
  /** By kind: `status 503`, `timeout`, `connection`, `unsent`. */
  readonly errors: Readonly<Record<string, number>>
  /** Values of `x-modelmux-cache` in the answers. */
  readonly cache: Readonly<Record<string, number>>
  /** CPU time of the generator itself, per second of the measured part: near 1 it was the bottleneck. */
  readonly generatorCpu: number
  /** CPU seconds that the server's processes used in the measured part; absent without `serverPid`. */
  readonly serverCpuSeconds?: number
  /** The first wrong answer or error, for people. */
  readonly firstProblem?: string
}

export function errorCount(report: Pick<LoadReport, 'errors'>): number {
  return Object.values(report.errors).reduce((sum, count) => sum + count, 0)
}
