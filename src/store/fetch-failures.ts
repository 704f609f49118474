/** What goes wrong with a fetch, as errors of ours; and those that last, remembered. */
import { LRUCache } from 'lru-cache'
import type { ErrorCode, ErrorFacts } from '../domain/errors.ts'
import { GatewayError } from '../domain/errors.ts'
import type { ModelVersion } from '../domain/model-version.ts'
import { backoffMs } from '../lib/backoff.ts'
import { ReadFailure, type ReadFailureKind } from './object-reader.ts'
import { CorruptObjectError } from './source-fetch.ts'
import { ArchiveError } from './tar-reader.ts'

/** The fetch took longer than it may. */
export class FetchDeadlineError extends Error {
  constructor(totalMs: number) {
    super(`the model files did not arrive within ${Math.round(totalMs / 1000)} s`)
  }
}

const CODES: Readonly<Record<ReadFailureKind, ErrorCode>> = {
  replaced: 'MODEL_LOADING',
  denied: 'ARTIFACT_UNREACHABLE',
  missing: 'ARTIFACT_UNREACHABLE',
  'slow-down': 'STORE_UNAVAILABLE',
  unavailable: 'STORE_UNAVAILABLE',
}
const DISK_FULL: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT'])
const UNAVAILABLE_RETRY_MS = 5_000
const DISK_RETRY_MS = 5_000

/** `replacedRetryMs`: when the registry will have noticed an object that was replaced. */
export function fetchError(version: ModelVersion, thrown: unknown, replacedRetryMs: number): GatewayError {
  const { name, version: number } = version
  const what = `version ${number} of '${name}' cannot be fetched`
  const fail = (code: ErrorCode, message: string, facts: ErrorFacts = {}): GatewayError =>
    new GatewayError(code, message, { model: name, version: number, ...facts }, { cause: thrown })
  if (thrown instanceof GatewayError) return fail(thrown.code, thrown.message, thrown.facts)
  if (thrown instanceof CorruptObjectError) return fail('ARTIFACT_CORRUPT', `${what}: ${thrown.message}`)
  if (thrown instanceof ArchiveError)
    return fail(
      'ARTIFACT_INVALID',
      `version ${number} of '${name}' cannot be used: its archive is refused: ${thrown.message}`,
    )
  if (thrown instanceof FetchDeadlineError)
    return fail('STORE_UNAVAILABLE', `${what}: ${thrown.message}`, { retryAfterMs: UNAVAILABLE_RETRY_MS })
  if (thrown instanceof ReadFailure) {
    const { kind, message, retryAfterMs } = thrown
    if (kind === 'replaced') {
      const noticed = `the files of version ${number} of '${name}' were replaced; they count once the registry noticed`
      return fail('MODEL_LOADING', noticed, { retryAfterMs: replacedRetryMs })
    }
    const isPassing = CODES[kind] === 'STORE_UNAVAILABLE'
    return fail(
      CODES[kind],
      `${what}: ${message}`,
      isPassing ? { retryAfterMs: retryAfterMs ?? UNAVAILABLE_RETRY_MS } : {},
    )
  }
  if (isDiskFull(thrown)) {
    return fail('CAPACITY_EXHAUSTED', `the disk of the cache folder is full; '${name}' cannot be fetched`, {
      retryAfterMs: DISK_RETRY_MS,
    })
  }
  if (thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string') {
    return fail('STORE_UNAVAILABLE', `${what}: the cache folder cannot be written (${thrown.code})`, {
      retryAfterMs: UNAVAILABLE_RETRY_MS,
    })
  }
  return fail('INTERNAL', `${what}: modelmux met an error it does not know`)
}

export function isDiskFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && DISK_FULL.has(error.code)
}

/** These last until somebody does something about it at the store; the registry then has another version, or the back-off ends. */
const LASTING: ReadonlySet<ErrorCode> = new Set(['ARTIFACT_UNREACHABLE', 'ARTIFACT_CORRUPT', 'ARTIFACT_INVALID'])
const LASTING_BACKOFF = { baseMs: 60_000, maxMs: 600_000 }
const MAX_REMEMBERED = 10_000

interface Failure {
  readonly error: GatewayError
  readonly tries: number
  /** Monotonic. */
  readonly until: number
}

/** Fetches that failed for a lasting reason: not tried again for 30 s at first, up to 10 min. */
export class FetchFailures {
  readonly #random: () => number
  readonly #failures = new LRUCache<string, Failure>({ max: MAX_REMEMBERED })

  constructor(random: () => number) {
    this.#random = random
  }

  /** The error to answer with while the back-off lasts. */
  current(sourceId: string, now: number): GatewayError | undefined {
    const failure = this.#failures.get(sourceId)
    return failure === undefined || failure.until <= now ? undefined : retryIn(failure.error, failure.until - now)
  }

  /** @returns the error with when to come back, where it lasts; else as it was */
  remember(sourceId: string, error: GatewayError, now: number): GatewayError {
    if (!LASTING.has(error.code)) return error
    const tries = (this.#failures.get(sourceId)?.tries ?? 0) + 1
    const waitMs = backoffMs(tries, LASTING_BACKOFF, this.#random)
    this.#failures.set(sourceId, { error, tries, until: now + waitMs })
    return retryIn(error, waitMs)
  }

  forget(sourceId: string): void {
    this.#failures.delete(sourceId)
  }
}

function retryIn(error: GatewayError, retryAfterMs: number): GatewayError {
  return new GatewayError(error.code, error.message, { ...error.facts, retryAfterMs }, { cause: error.cause })
}
