/**
 * One line a request. Successes are sampled; what failed is always logged: the caller's mistakes at info, ours at error with
 * the stack and its causes, here and nowhere else.
 */
import type { EventLog } from './log.ts'
import type { RequestObserver, RequestSummary } from './request-summary.ts'

export interface RequestLogOptions {
  /** Share of successes that are logged, 0 to 1. */
  readonly requestLogSample: number
  /** Uniform in [0, 1). */
  readonly random: () => number
}

export class RequestLog implements RequestObserver {
  readonly #log: EventLog
  readonly #options: RequestLogOptions

  constructor(log: EventLog, options: RequestLogOptions) {
    this.#log = log
    this.#options = options
  }

  requestDone(summary: RequestSummary): void {
    const { status, error, ...facts } = summary
    if (status < 400) {
      const { requestLogSample, random } = this.#options
      if (requestLogSample >= 1 || random() < requestLogSample) this.#log.event('request.done', { status, ...facts })
    } else if (status < 500) {
      this.#log.event('request.refused', { status, ...facts, ...(error !== undefined && { message: error.message }) })
    } else {
      this.#log.event('request.failed', { status, ...facts, err: error }, isPassing(status) ? 'warn' : undefined)
    }
  }
}

/** Overload, loading and deadlines are states of the service, not defects of it. */
function isPassing(status: number): boolean {
  return status === 503 || status === 504 || status === 507 || status === 501
}
