/**
 * One line a request. Successes are sampled; what failed is always logged: the caller's mistakes at info, ours at error with
 * the stack and its causes, here and nowhere else.
 */
import { ERRORS } from '../domain/errors.ts'
import type { LineLog } from './log.ts'
import { requestLine } from './request-line.ts'
import type { RequestObserver, RequestSummary } from './request-summary.ts'

export interface RequestLogOptions {
  /** Share of successes that are logged, 0 to 1. */
  readonly requestLogSample: number
  /** Uniform in [0, 1). */
  readonly random: () => number
}

export class RequestLog implements RequestObserver {
  readonly #log: LineLog
  readonly #options: RequestLogOptions

  constructor(log: LineLog, options: RequestLogOptions) {
    this.#log = log
    this.#options = options
  }

  requestDone(summary: RequestSummary): void {
    const { status } = summary
    if (status < 400) {
      const { requestLogSample, random } = this.#options
      if (requestLogSample >= 1 || random() < requestLogSample) this.#log.line('request.done', requestLine(summary))
    } else if (status < 500) {
      this.#log.line('request.refused', withMessage(summary))
    } else if (isPassing(status)) {
      // A state of the service, not a defect of it: no stack, or a flood would fill the log with them.
      this.#log.line('request.delayed', withMessage(summary))
    } else {
      const { error: err, code, trace, ...facts } = summary
      const blame = code === undefined ? {} : { code, against: ERRORS[code].countsAgainst }
      const traced = trace === undefined ? {} : { traceId: trace.traceId }
      this.#log.event('request.failed', { ...facts, ...traced, ...blame, err })
    }
  }
}

function withMessage(summary: RequestSummary): string {
  const { error } = summary
  return error === undefined
    ? requestLine(summary)
    : `${requestLine(summary)},"message":${JSON.stringify(error.message)}`
}

/** Overload, loading, deadlines, and what the protocol has and modelmux does not. */
function isPassing(status: number): boolean {
  return status === 503 || status === 504 || status === 507 || status === 501
}
