/**
 * Inference requests, ahead of every framework: headers in one pass, the body as it came, the answer in one write. Bodies are
 * opaque here; workers decode them. Every request ends in one summary, also when its client left.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { asGatewayError, GatewayError } from '../domain/errors.ts'
import type { Clock } from '../lib/clock.ts'
import type { Gateway, InferAnswer, Served } from '../routing/gateway.ts'
import type { RequestObserver } from '../telemetry/request-summary.ts'
import type { TraceContext, TraceStarter } from '../telemetry/trace-context.ts'
import type { AnswerBudget } from './answer-budget.ts'
import { answerHeaders } from './answer-headers.ts'
import { Compressor } from './compressor.ts'
import type { Encoding } from './content-encoding.ts'
import { Expander, readEncoding } from './content-encoding.ts'
import { sendError } from './error-answer.ts'
import type { Terms, TermsOptions } from './infer-terms.ts'
import { InferTerms } from './infer-terms.ts'
import type { Body, ReceiveBudget } from './read-body.ts'
import { bodyTooLarge, readBody } from './read-body.ts'
import type { RequestHead } from './request-head.ts'
import type { RequestIds } from './request-id.ts'

export interface InferLimits extends TermsOptions {
  readonly maxBodyBytes: number
  /** Of the JSON part. */
  readonly maxJsonBytes: number
  /** Answers from this size on are compressed for clients that accept it; 0 = none. */
  readonly compressMinBytes: number
}

export interface InferDeps {
  readonly gateway: Pick<Gateway, 'infer'>
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly observer: RequestObserver
  readonly ids: RequestIds
  readonly traces: TraceStarter
  /** Of all bodies being received at the same time. */
  readonly budget: ReceiveBudget
  /** Of all answers that their clients have not taken yet. */
  readonly answers: AnswerBudget
  /** May the connection be kept after this answer? */
  readonly isDraining: () => boolean
}

/** Up to here, an answer goes out as text together with its head: one plain write is cheaper than a vector of two, and text of bytes is the bytes. */
const ONE_WRITE_BYTES = 16 * 1024
const INFER_PATH = '/v2/infer'
const INFER_ROUTES = { named: '/v2/models/{model}/infer', unnamed: INFER_PATH } as const

/** One request under way. */
interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly path: string
  readonly head: RequestHead
  readonly mustContinue: boolean
  readonly startedAt: number
  readonly abort: AbortController
  requestId: string
  trace: TraceContext | undefined
  /** Monotonic time at which the body was there; for sampled requests only. */
  receivedAt: number | undefined
  bytesIn: number
  bytesOut: number
  served: Served | undefined
  error: GatewayError | undefined
}

export class InferHandler {
  readonly #limits: InferLimits
  readonly #deps: InferDeps
  readonly #terms: InferTerms
  readonly #expander: Expander
  readonly #compressor: Compressor

  constructor(limits: InferLimits, deps: InferDeps) {
    this.#limits = limits
    this.#deps = deps
    this.#terms = new InferTerms(limits)
    this.#expander = new Expander(deps.budget)
    this.#compressor = new Compressor(limits.compressMinBytes)
  }

  /** Is a POST to this path (without query) an inference? */
  static takes(path: string): boolean {
    return path.endsWith('/infer') && (path === INFER_PATH || path.startsWith('/v2/models/'))
  }

  /** Answers the request, whatever it takes. `mustContinue`: the client waits for `100 Continue` before it sends the body. */
  handle(
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
    head: RequestHead,
    mustContinue: boolean,
  ): void {
    const exchange: Exchange = {
      request,
      response,
      path,
      head,
      mustContinue,
      startedAt: this.#deps.clock.now(),
      abort: new AbortController(),
      requestId: '',
      trace: undefined,
      receivedAt: undefined,
      bytesIn: 0,
      bytesOut: 0,
      served: undefined,
      error: undefined,
    }
    response.once('close', () => this.#finish(exchange))
    this.#serve(exchange).catch((thrown: unknown) => this.#fail(exchange, asGatewayError(thrown)))
  }

  async #serve(exchange: Exchange): Promise<void> {
    const { request, response, head } = exchange
    const { answers, clock, ids, traces } = this.#deps
    exchange.requestId = ids.idFor(head.requestId)
    exchange.trace = traces.begin(head.traceparent, head.tracestate)
    answers.checkRoom()
    const terms = this.#terms.read(exchange.path, head.inferKey, request.rawHeaders)
    const encoding = readEncoding(head.contentEncoding)
    const limits = this.#bodyLimits(head, terms.jsonBytes, encoding)
    if (exchange.mustContinue) response.writeContinue()
    const body = await readBody(request, limits.received, this.#deps.budget)
    exchange.bytesIn = body.bytes
    if (exchange.trace?.isSampled === true) exchange.receivedAt = clock.now()
    const answer =
      encoding === undefined
        ? await this.#handOn(exchange, terms, body)
        : await this.#expandAndHandOn(exchange, terms, body, encoding, limits.expanded)
    exchange.served = answer.served
    if (this.#compressor.varies(answer.body.length)) await this.#sendLarge(exchange, answer)
    else this.#send(exchange, answer, [])
  }

  /** An answer that is worth compressing, where its client takes that. */
  async #sendLarge(exchange: Exchange, answer: InferAnswer): Promise<void> {
    const vary = ['vary', 'accept-encoding']
    const compressed = await this.#compressor.compress(answer.body, exchange.head.acceptEncoding)
    if (compressed === undefined) this.#send(exchange, answer, vary)
    else this.#send(exchange, { ...answer, body: compressed.body }, [...vary, 'content-encoding', compressed.coding])
  }

  #send(exchange: Exchange, answer: InferAnswer, extraHeaders: readonly string[]): void {
    const { request, response } = exchange
    if (response.destroyed) return
    const headers = answerHeaders(answer, exchange.requestId)
    headers.push(...extraHeaders)
    if (this.#deps.isDraining()) headers.push('connection', 'close')
    exchange.bytesOut = answer.body.length
    response.writeHead(200, headers)
    if (answer.body.length <= ONE_WRITE_BYTES) response.end(answer.body.toString('latin1'), 'latin1')
    else response.end(answer.body)
    this.#deps.answers.watch(request, response)
  }

  #handOn(exchange: Exchange, terms: Terms, body: Body): Promise<InferAnswer> {
    checkJsonLength(terms.jsonBytes, body)
    return this.#deps.gateway.infer({
      ...terms,
      requestId: exchange.requestId,
      ...(exchange.trace?.isSampled === true && { span: exchange.trace }),
      body: body.chunks,
      bodyBytes: body.bytes,
      signal: exchange.abort.signal,
    })
  }

  async #expandAndHandOn(
    exchange: Exchange,
    terms: Terms,
    received: Body,
    encoding: NonNullable<Encoding>,
    maxBytes: number,
  ): Promise<InferAnswer> {
    const body = await this.#expander.expand(received, encoding, maxBytes, exchange.abort.signal)
    let answer: Promise<InferAnswer>
    try {
      answer = this.#handOn(exchange, terms, body)
    } finally {
      // From here on the queues count it.
      body.release()
    }
    return answer
  }

  /** How many bytes to read, and to expand them to. @throws GatewayError BODY_TOO_LARGE when the headers tell it already */
  #bodyLimits(
    head: RequestHead,
    jsonBytes: number | undefined,
    encoding: Encoding,
  ): { received: number; expanded: number } {
    const { maxBodyBytes, maxJsonBytes } = this.#limits
    if (jsonBytes !== undefined && jsonBytes > maxJsonBytes) throw bodyTooLarge(maxJsonBytes, 'the JSON part')
    const whole = jsonBytes === undefined ? Math.min(maxJsonBytes, maxBodyBytes) : maxBodyBytes
    const received = encoding === undefined ? whole : maxBodyBytes
    if (head.contentLength !== undefined && Number(head.contentLength) > received) {
      throw received < maxBodyBytes ? jsonTooLarge(received) : bodyTooLarge(received)
    }
    return { received, expanded: whole }
  }

  #fail(exchange: Exchange, error: GatewayError): void {
    exchange.error = error
    const { request, response, requestId, trace } = exchange
    // Nobody is there to read it, or half of another answer is out; `#finish` has the rest.
    if (response.destroyed || response.headersSent) {
      response.destroy()
      return
    }
    const { clock, random } = this.#deps
    const isDraining = this.#deps.isDraining()
    const traceId = trace?.traceId
    exchange.bytesOut = sendError(request, response, error, { requestId, traceId, isDraining, clock, random })
  }

  /** The response is over: sent, or its client is gone. */
  #finish(exchange: Exchange): void {
    const { response, served, startedAt, trace, receivedAt } = exchange
    const isGone = !response.writableFinished
    if (isGone) exchange.abort.abort()
    const error =
      exchange.error ?? (isGone ? new GatewayError('CLIENT_GONE', 'the client left before the answer') : undefined)
    const model = served?.model ?? error?.facts.model
    const version = served?.version ?? error?.facts.version
    this.#deps.observer.requestDone({
      requestId: exchange.requestId,
      method: 'POST',
      route: exchange.path === INFER_PATH ? INFER_ROUTES.unnamed : INFER_ROUTES.named,
      status: isGone ? 499 : response.statusCode,
      bytesIn: exchange.bytesIn,
      bytesOut: exchange.bytesOut,
      durationMs: this.#deps.clock.now() - startedAt,
      ...(error !== undefined && { error, code: isGone ? 'CLIENT_GONE' : error.code }),
      ...(model !== undefined && { model }),
      ...(version !== undefined && { version }),
      ...(trace !== undefined && { trace }),
      ...(receivedAt !== undefined && { receiveMs: receivedAt - startedAt }),
      ...(served !== undefined && { cache: served.cache, timings: served.timings, batchRows: served.batchRows }),
    })
  }
}

/** @throws GatewayError BAD_REQUEST when the JSON part would end behind the body */
function checkJsonLength(jsonBytes: number | undefined, body: Body): void {
  if (jsonBytes === undefined || jsonBytes <= body.bytes) return
  throw new GatewayError(
    'BAD_REQUEST',
    `Inference-Header-Content-Length is ${jsonBytes}, but the body has ${body.bytes} bytes; expected the bytes of its JSON part`,
  )
}

function jsonTooLarge(limit: number): GatewayError {
  const { message, facts } = bodyTooLarge(limit, 'the JSON body')
  return new GatewayError(
    'BODY_TOO_LARGE',
    `${message}; send large tensors in binary, with Inference-Header-Content-Length`,
    facts,
  )
}
