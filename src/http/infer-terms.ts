/**
 * What URL and headers of an inference ask for: which model, for how long, under which terms. Clients repeat themselves, so what
 * was read once is remembered by the text it was read from.
 */
import { LRUCache } from 'lru-cache'
import { GatewayError } from '../domain/errors.ts'
import type { ModelRef } from '../domain/model-ref.ts'
import { parseModelRef, printable } from '../domain/model-ref.ts'
import { combineRefs, matchInferPath, readInferHeaders } from '../protocol/headers.ts'

export interface Terms {
  readonly ref: ModelRef
  readonly ifAbsent: 'load' | 'refuse'
  readonly coldStart?: 'wait' | 'refuse'
  readonly timeoutMs?: number
  /** Bytes of the JSON part; undefined = the whole body. Whether the body is that long is known only once it is here. */
  readonly jsonBytes?: number
}

export interface TermsOptions {
  readonly maxDeadlineMs: number
  /** Model of a request that names none; null = refused. */
  readonly defaultModel: string | null
}

/** A bound, not a tuning knob: reading the terms again costs microseconds. */
const REMEMBERED = 20_000
/** Longer texts are not worth their memory: no honest client sends them. */
const LONGEST_KEY = 1024

export class InferTerms {
  readonly #maxDeadlineMs: number
  readonly #defaultRef: ModelRef | undefined
  readonly #remembered = new LRUCache<string, Terms>({ max: REMEMBERED })

  /** @throws GatewayError BAD_MODEL_REF for the default model */
  constructor({ maxDeadlineMs, defaultModel }: TermsOptions) {
    this.#maxDeadlineMs = maxDeadlineMs
    this.#defaultRef = defaultModel === null ? undefined : parseModelRef(defaultModel)
  }

  /**
   * @param path the URL without its query
   * @param inferKey equal for equal inference headers
   * @throws GatewayError MODEL_REQUIRED, BAD_MODEL_REF, BAD_REQUEST, NOT_FOUND
   */
  read(path: string, inferKey: string, rawHeaders: readonly string[]): Terms {
    const key = inferKey === '' ? path : path + inferKey
    const known = this.#remembered.get(key)
    if (known !== undefined) return known
    const terms = this.#parse(path, rawHeaders)
    if (key.length <= LONGEST_KEY) this.#remembered.set(key, terms)
    return terms
  }

  #parse(path: string, rawHeaders: readonly string[]): Terms {
    const fromPath = matchInferPath(path)
    if (fromPath === undefined) throw new GatewayError('NOT_FOUND', `there is nothing at ${printable(path)}`)
    const { ref, timeoutMs, ...rest } = readInferHeaders(rawHeaders)
    const named = fromPath.ref === undefined && ref === undefined ? this.#defaultRef : undefined
    return {
      ...rest,
      ref: named ?? combineRefs(fromPath.ref, ref),
      ...(timeoutMs !== undefined && { timeoutMs: Math.min(timeoutMs, this.#maxDeadlineMs) }),
    }
  }
}
