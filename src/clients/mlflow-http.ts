/**
 * HTTP to one MLflow server: credentials and workspace on every request, bounded answers, deadlines, repeats within a budget. It goes
 * where the operator said and nowhere else: redirects are not followed.
 */
import type { Readable } from 'node:stream'
import type { Dispatcher } from 'undici'
import { Agent } from 'undici'
import type { HttpCredentials, HttpTls } from '../domain/http-identity.ts'
import { type BackoffOptions, fullJitterMs } from '../lib/backoff.ts'
import type { Clock } from '../lib/clock.ts'
import { pause } from '../lib/clock.ts'
import { RetryBudget } from '../lib/retry-budget.ts'
import { AddressRefusedError, guardedConnector } from './address-guard.ts'
import { keepAddresses } from './kept-addresses.ts'
import { answeredError, asMlflowError, MlflowError } from './mlflow-error.ts'

export interface MlflowHttpOptions {
  /** `http://host:5000`, also with a path before the API's own. */
  readonly uri: string
  readonly credentials?: HttpCredentials | undefined
  readonly workspace?: string | undefined
  readonly tls?: HttpTls | undefined
  readonly limits?: Partial<MlflowLimits>
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
}

export interface MlflowLimits {
  readonly connectMs: number
  /** One try of a call, from its first byte to its last. */
  readonly tryMs: number
  /** Silence within a stream of a file's bytes, and before its first: MLflow's proxy collects the whole file before it sends any. */
  readonly streamIdleMs: number
  readonly streamAnswerMs: number
  readonly maxAnswerBytes: number
  /** For calls, and as many for files. */
  readonly maxConnections: number
  readonly maxTries: number
  readonly backoff: BackoffOptions
  /** A server that asks to come back later than this is not waited for. */
  readonly maxRetryAfterMs: number
}

export const MLFLOW_LIMITS: MlflowLimits = {
  connectMs: 5_000,
  tryMs: 20_000,
  streamIdleMs: 10_000,
  streamAnswerMs: 300_000,
  maxAnswerBytes: 32 * 2 ** 20,
  maxConnections: 16,
  maxTries: 3,
  backoff: { baseMs: 100, maxMs: 2_000 },
  maxRetryAfterMs: 5_000,
}

export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** Below `/api/2.0/`, percent-encoded. */
  readonly path: string
  readonly query?: Readonly<Record<string, string | undefined>>
  readonly body?: unknown
}

/** The bytes of a file as they come: count them, and take them to their end, leave the loop, or abort. */
export interface MlflowStream {
  /** As the server says; undefined where it does not. */
  readonly bytes: number | undefined
  readonly chunks: AsyncIterable<Uint8Array>
  /** Ends it unread. */
  cancel(): Promise<void>
}

const API = '/api/2.0/'
/** What is read of an answer that is an error. */
const ERROR_BYTES = 64 * 1024
/** Python's servers close idle connections after 2 to 5 s, and what is sent just then is lost. */
const KEEP_ALIVE_MS = 1000
/** The deadline of the try says when. */
const UNTIMED = { headersTimeout: 0, bodyTimeout: 0 }
const RETRIES = { perCall: 0.1, most: 5 }
/** Of what was written in vain: whoever asks again later has this long to wait at most. */
const RETRY_AFTER_CAP_MS = 600_000

export class MlflowHttp {
  readonly #base: URL
  readonly #calls: Agent
  /** With connections of their own: files that take minutes to come hold up no call. */
  readonly #files: Agent
  readonly #headers: Readonly<Record<string, string>>
  readonly #limits: MlflowLimits
  readonly #options: MlflowHttpOptions
  readonly #retries = new RetryBudget(RETRIES)

  constructor(options: MlflowHttpOptions) {
    this.#options = options
    this.#limits = { ...MLFLOW_LIMITS, ...options.limits }
    this.#base = new URL(options.uri)
    this.#headers = headersOf(options)
    const agent = {
      connections: this.#limits.maxConnections,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connect: guardedConnector({
        lookup: keepAddresses(options.clock),
        // The operator named the server.
        mayBePrivate: () => true,
        connect: { timeout: this.#limits.connectMs, ...tlsOf(options) },
      }),
    }
    this.#calls = new Agent(agent)
    this.#files = new Agent(agent)
  }

  /** The JSON that a call is answered with. @throws MlflowError, or the signal's reason */
  async json(call: Call, signal?: AbortSignal): Promise<unknown> {
    return await this.#trying(call, signal, async () => {
      const { clock } = this.#options
      const late = new AbortController()
      const { tryMs } = this.#limits
      const timer = clock.after(tryMs, () =>
        late.abort(new MlflowError('unavailable', `MLflow did not answer within ${Math.round(tryMs / 1000)} s`)),
      )
      try {
        const either = signal === undefined ? late.signal : AbortSignal.any([signal, late.signal])
        const answer = await this.#request(this.#calls, call, UNTIMED, either)
        const text = await this.#textOf(answer, this.#limits.maxAnswerBytes)
        if (answer.statusCode !== 200) throw answeredError(answer.statusCode, text, this.#retryAfter(answer))
        return parsed(text)
      } catch (error) {
        if (late.signal.aborted && signal?.aborted !== true) throw late.signal.reason
        throw error
      } finally {
        timer.cancel()
      }
    })
  }

  /** The body that a call is answered with, tried once: who reads it begins again. @throws MlflowError, or the signal's reason */
  async stream(call: Call, signal?: AbortSignal): Promise<MlflowStream> {
    try {
      const { streamAnswerMs: headersTimeout, streamIdleMs: bodyTimeout } = this.#limits
      const answer = await this.#request(this.#files, call, { headersTimeout, bodyTimeout }, signal)
      if (answer.statusCode !== 200)
        throw answeredError(answer.statusCode, await this.#errorText(answer), this.#retryAfter(answer))
      const cancel = (): Promise<void> => answer.body.dump({ limit: 0 }).catch(() => undefined)
      return { bytes: lengthOf(answer), chunks: chunksOf(answer, signal), cancel }
    } catch (error) {
      throw failed(error, signal)
    }
  }

  /** Sends the bytes of a file, tried once: they may come from where they can be read once. @throws MlflowError, or the signal's reason */
  async send(call: Call, body: Readable | Uint8Array, bytes: number, signal?: AbortSignal): Promise<void> {
    try {
      const answer = await this.#files.request({
        ...this.#target(call),
        headers: { ...this.#headers, 'content-type': 'application/octet-stream', 'content-length': `${bytes}` },
        body,
        headersTimeout: this.#limits.streamAnswerMs,
        signal: signal ?? null,
      })
      const text = await this.#errorText(answer)
      if (answer.statusCode !== 200) throw answeredError(answer.statusCode, text, this.#retryAfter(answer))
    } catch (error) {
      throw failed(error, signal)
    }
  }

  /** Ends idle connections, and calls under way. Idempotent. */
  async close(): Promise<void> {
    await Promise.all([this.#calls.destroy(), this.#files.destroy()])
  }

  async #trying<T>(call: Call, signal: AbortSignal | undefined, attempt: () => Promise<T>): Promise<T> {
    const { clock, random } = this.#options
    const { maxTries, backoff, maxRetryAfterMs } = this.#limits
    this.#retries.noteCall()
    for (let tries = 1; ; tries++) {
      try {
        return await attempt()
      } catch (thrown) {
        const error = failed(thrown, signal)
        const waitMs = Math.max(error.retryAfterMs ?? 0, fullJitterMs(tries, backoff, random))
        if (!isRepeatable(call, error) || tries >= maxTries || waitMs > maxRetryAfterMs || !this.#retries.take())
          throw error
        await pause(clock, waitMs, signal)
      }
    }
  }

  async #request(
    agent: Agent,
    call: Call,
    limits: { readonly headersTimeout: number; readonly bodyTimeout: number },
    signal: AbortSignal | undefined,
  ): Promise<Dispatcher.ResponseData> {
    const { body } = call
    return await agent.request({
      ...this.#target(call),
      headers: { ...this.#headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...limits,
      signal: signal ?? null,
    })
  }

  #target({
    method,
    path,
    query,
  }: Call): Pick<Dispatcher.RequestOptions, 'method' | 'path'> & { readonly origin: string } {
    const search = new URLSearchParams()
    for (const [name, value] of Object.entries(query ?? {})) if (value !== undefined) search.set(name, value)
    const prefix = this.#base.pathname.replace(/\/$/, '')
    const tail = search.size === 0 ? '' : `?${search.toString()}`
    return { origin: this.#base.origin, path: `${prefix}${API}${path}${tail}`, method }
  }

  async #textOf({ body }: Dispatcher.ResponseData, maxBytes: number): Promise<string> {
    const chunks: Uint8Array[] = []
    let bytes = 0
    for await (const chunk of body as AsyncIterable<Uint8Array>) {
      bytes += chunk.length
      // Leaving the loop ends the connection.
      if (bytes > maxBytes) throw new MlflowError('refused', `MLflow answered with more than ${maxBytes} bytes`)
      chunks.push(chunk)
    }
    return Buffer.concat(chunks).toString('utf8')
  }

  /** As much of it as may say something: pages of proxies are long, and the status says more than their end. */
  async #errorText({ body }: Dispatcher.ResponseData): Promise<string> {
    const chunks: Uint8Array[] = []
    let bytes = 0
    for await (const chunk of body as AsyncIterable<Uint8Array>) {
      chunks.push(chunk)
      bytes += chunk.length
      // Leaving the loop ends the connection.
      if (bytes >= ERROR_BYTES) break
    }
    return Buffer.concat(chunks).subarray(0, ERROR_BYTES).toString('utf8')
  }

  #retryAfter({ headers }: Dispatcher.ResponseData): number | undefined {
    const value = headers['retry-after']
    if (typeof value !== 'string') return undefined
    const ms = /^\d{1,9}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - this.#options.clock.wall()
    return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), RETRY_AFTER_CAP_MS) : undefined
  }
}

function tlsOf({ tls }: MlflowHttpOptions) {
  const { isInsecure = false, authorities: ca, clientCertificate } = tls ?? {}
  return {
    ...(isInsecure ? { rejectUnauthorized: false } : {}),
    ...(ca === undefined ? {} : { ca }),
    ...(clientCertificate === undefined ? {} : { cert: clientCertificate, key: clientCertificate }),
  }
}

function headersOf({ credentials, workspace }: MlflowHttpOptions): Record<string, string> {
  const authorization =
    credentials === undefined
      ? undefined
      : credentials.kind === 'bearer'
        ? `Bearer ${credentials.token}`
        : `Basic ${Buffer.from(`${credentials.user}:${credentials.password}`).toString('base64')}`
  return {
    accept: '*/*',
    'user-agent': 'modelmux',
    ...(authorization === undefined ? {} : { authorization }),
    ...(workspace === undefined ? {} : { 'x-mlflow-workspace': workspace }),
  }
}

/** What was refused before it had an effect may be sent again; what only reads, also after a failure. */
function isRepeatable({ method }: Call, { kind }: MlflowError): boolean {
  if (kind === 'slow-down') return true
  return kind === 'unavailable' && method === 'GET'
}

function failed(thrown: unknown, signal: AbortSignal | undefined): MlflowError {
  if (thrown instanceof AddressRefusedError) return new MlflowError('refused', thrown.message)
  return asMlflowError(thrown, signal)
}

/** The 200 of a login page or of an old proxy's error page. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    throw new MlflowError('unavailable', 'MLflow answered 200 with something that is not JSON')
  }
}

function lengthOf({ headers }: Dispatcher.ResponseData): number | undefined {
  const value = headers['content-length']
  return typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : undefined
}

async function* chunksOf({ body }: Dispatcher.ResponseData, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of body as AsyncIterable<Uint8Array>) yield chunk
  } catch (error) {
    throw failed(error, signal)
  }
}
