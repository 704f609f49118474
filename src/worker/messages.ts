/** What a worker is told and what it answers. */
import type { Device } from '../domain/device.ts'
import type { GatewayError } from '../domain/errors.ts'

/** The first thing a worker is told. */
export interface Hello {
  readonly device: Device
  /** Of one answer; absent = no limit. */
  readonly maxAnswerBytes?: number
}

/** A model to open. `placementId` is the caller's choice, unique among the placements of one worker. */
export interface OpenSpec {
  readonly placementId: number
  /** Absolute path of the graph to open. */
  readonly file: string
  /** The trust domain whose models alone the process may ever open; undefined = it is shared. */
  readonly domain?: string
  /** `mapped`: an artifact, optimised before; `plain`: an original. */
  readonly form: 'mapped' | 'plain'
  /** Pack weights at open, into private memory, where that pays. `mapped` only. */
  readonly isPacked: boolean
  readonly intraOpThreads: number
  /** Name and version that answers carry. */
  readonly model: string
  readonly version: string
  /** May requests be stacked along dimension 0, and up to how many rows? */
  readonly isBatchSafe: boolean
  readonly maxRows: number
  /** Inference requests in JSON that are run once after opening. */
  readonly warmUp: readonly unknown[]
  /** Memory mappings of the session if they are known; counting them takes 0.1 ms for every 1,000 of the process. */
  readonly mappings?: number
  /** The session is measured on its GPU where the driver tells: its bytes there are not known. */
  readonly measuresDevice?: boolean
}

export interface OpenReport {
  /** Milliseconds for opening alone. */
  readonly openMs: number
  /** Measured growth of the process's private memory by opening, in bytes, 0 or more. */
  readonly privateBytes: number
  readonly mappings: number
  /** Measured growth of what the GPU holds, warm-up included; absent where nobody was asked or nobody tells. */
  readonly deviceBytes?: number
  readonly warmUpMs: number
  /** Why warm-up requests failed, one line each. A model that cannot be warmed up is open all the same. */
  readonly warmUpErrors: readonly string[]
}

export interface Batching {
  readonly isBatchSafe: boolean
  readonly maxRows: number
}

/** A request's body as it came in. */
export interface WorkerRequest {
  readonly body: readonly Buffer[]
  readonly bodyBytes: number
  /** Bytes of the JSON part when binary tensors follow it; undefined = the whole body is JSON. */
  readonly jsonBytes?: number
}

export type WorkerAnswer =
  | {
      readonly ok: true
      readonly body: Buffer
      /** Bytes of the JSON part when binary tensors follow it. */
      readonly jsonBytes?: number
      /** Rows of the run that this answer comes from; other requests' rows among them when it was stacked. */
      readonly rows: number
    }
  | { readonly ok: false; readonly error: GatewayError }

/** Times are milliseconds of the worker's thread; `runMs` includes stacking and splitting. */
export interface HandOverTimes {
  readonly decodeMs: number
  readonly runMs: number
  readonly encodeMs: number
  /** Runs of the engine that gave an answer, and the rows in all of them together. */
  readonly runs: number
  readonly rows: number
}

export interface HandOverReport extends HandOverTimes {
  /** One for each request, in the same order. */
  readonly answers: WorkerAnswer[]
}
