/**
 * Ranges of files at signed addresses that another service handed out. Such an address is remote text and a secret at once: it is asked
 * for only where the rules allow, from allowed addresses of the network, without credentials of ours; and it stands in no message.
 */
import type { Dispatcher } from 'undici'
import { Agent } from 'undici'
import type { ArtifactRules } from '../domain/artifact-place.ts'
import { isNamedHost } from '../domain/artifact-place.ts'
import type { Clock } from '../lib/clock.ts'
import { AddressRefusedError, guardedConnector } from './address-guard.ts'
import { keepAddresses } from './kept-addresses.ts'
import { asMlflowError, MlflowError } from './mlflow-error.ts'

export interface SignedAddress {
  readonly url: URL
  /** To be sent with it. */
  readonly headers: Readonly<Record<string, string>>
}

export interface SignedReadsOptions {
  readonly rules: ArtifactRules
  readonly connectMs: number
  readonly answerMs: number
  readonly idleMs: number
  readonly maxConnections: number
  readonly clock: Clock
}

export class SignedReads {
  readonly #agent: Agent

  constructor({ rules, connectMs, answerMs, idleMs, maxConnections, clock }: SignedReadsOptions) {
    this.#agent = new Agent({
      connections: maxConnections,
      headersTimeout: answerMs,
      bodyTimeout: idleMs,
      connect: guardedConnector({
        lookup: keepAddresses(clock),
        mayBePrivate: (host) => isNamedHost(host, rules),
        connect: { timeout: connectMs },
      }),
    })
  }

  /**
   * Bytes `from` (included) to `to` (not included), of `bytes` in all; whoever reads counts them.
   * @throws MlflowError: `forbidden` also for an address that has expired; or the signal's reason
   */
  async read(
    { url, headers }: SignedAddress,
    { from, to, bytes }: { readonly from: number; readonly to: number; readonly bytes: number },
    signal?: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array>> {
    try {
      const answer = await this.#agent.request({
        origin: url.origin,
        path: `${url.pathname}${url.search}`,
        method: 'GET',
        headers: { ...headers, range: `bytes=${from}-${to - 1}` },
        signal: signal ?? null,
      })
      const problem = problemOf(answer, from, to, bytes)
      if (problem === undefined) return chunksOf(answer, signal)
      answer.body.on('error', () => undefined)
      answer.body.destroy()
      throw problem
    } catch (error) {
      throw failed(error, signal)
    }
  }

  /** Ends idle connections, and reads under way. Idempotent. */
  async close(): Promise<void> {
    await this.#agent.destroy()
  }
}

function problemOf(
  { statusCode, headers }: Dispatcher.ResponseData,
  from: number,
  to: number,
  bytes: number,
): MlflowError | undefined {
  if (statusCode === 206) {
    const isAsked = headers['content-range'] === `bytes ${from}-${to - 1}/${bytes}`
    return isAsked
      ? undefined
      : new MlflowError('unavailable', 'the store answered with another range than was asked for')
  }
  // A server without ranges sends the whole file.
  if (statusCode === 200 && from === 0 && to === bytes) return undefined
  const message = `the store of the artifacts answered ${statusCode}`
  switch (statusCode) {
    case 401:
    case 403:
      return new MlflowError('forbidden', message)
    case 404:
    case 410:
      return new MlflowError('not-found', message)
    case 429:
      return new MlflowError('slow-down', message)
    default:
      return new MlflowError(statusCode >= 500 || statusCode === 408 ? 'unavailable' : 'refused', message)
  }
}

async function* chunksOf({ body }: Dispatcher.ResponseData, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of body as AsyncIterable<Uint8Array>) yield chunk
  } catch (error) {
    throw failed(error, signal)
  }
}

function failed(thrown: unknown, signal: AbortSignal | undefined): MlflowError {
  if (thrown instanceof AddressRefusedError) return new MlflowError('refused', thrown.message)
  const error = asMlflowError(thrown, signal)
  return error === thrown
    ? error
    : new MlflowError(error.kind, error.message.replace(/^MLflow/, 'the store of the artifacts'))
}
