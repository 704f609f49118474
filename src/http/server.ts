/**
 * The HTTP server: limits, dispatch of inference ahead of everything else, and an orderly end. One life: listen once, drain or
 * destroy once; both may be called again and then wait for the same end.
 */

import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Clock } from '../lib/clock.ts'
import type { Gateway } from '../routing/gateway.ts'
import type { EventLog } from '../telemetry/log.ts'
import type { RequestObserver } from '../telemetry/request-summary.ts'
import { TraceStarter } from '../telemetry/trace-context.ts'
import { AddressQuota } from './address-quota.ts'
import { AnswerBudget } from './answer-budget.ts'
import { answerUnderWay } from './answer-under-way.ts'
import { createApp } from './app.ts'
import type { AppDeps } from './app-context.ts'
import { answerBadConnection } from './bad-connection.ts'
import type { RefusedBecause } from './connections.ts'
import { Connections } from './connections.ts'
import { framingFault } from './framing.ts'
import { allowHalfClose } from './half-close.ts'
import type { InferLimits } from './infer-handler.ts'
import { InferHandler } from './infer-handler.ts'
import { LateConnections } from './late-connections.ts'
import { ListenError } from './listen-error.ts'
import { ReceiveBudget } from './read-body.ts'
import type { RefusalDeps } from './refused-head.ts'
import { refuseHead } from './refused-head.ts'
import { readHead } from './request-head.ts'
import { RequestIds } from './request-id.ts'
import { declineUpgrades, isOfferTaken } from './upgrade.ts'

export { ListenError } from './listen-error.ts'

export interface HttpServerOptions extends InferLimits {
  readonly headersTimeoutMs: number
  readonly requestTimeoutMs: number
  readonly keepAliveTimeoutMs: number
  readonly maxHeaderBytes: number
  readonly maxConnections: number
  /** 0 = no limit of its own. */
  readonly maxConnectionsPerAddress: number
  /** Bytes of all bodies being received at the same time, and of all answers that their clients have not taken yet. */
  readonly maxReceivingBytes: number
  /** Walks through model files for metadata, a second and address; a fifth as many lists of all models. */
  readonly metadataPerSecond: number
}

export interface HttpServerDeps {
  readonly gateway: Gateway
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly log: EventLog
  readonly observer: RequestObserver
  readonly metrics: AppDeps['metrics']
  /** Absent = traces of callers are told of, none is begun. */
  readonly traces?: TraceStarter
  readonly admin?: AppDeps['admin']
  /** Version of this software. */
  readonly version: string
  /** Random text that tells this boot's request ids from another's. */
  readonly bootId: string
}

/**
 * How often Node looks for connections that are over their time; its own 30 s would make short limits meaningless, and what came one
 * after the other should go that way too. A look at 10,000 takes 0.2 ms.
 */
const TIMEOUT_CHECK_MS = 100
/** A list of all models costs as much as so many walks through one model's file. */
const LIST_COST = 5
/** Of what answers to inferences may hold unread, the part that everything else may hold beside them. */
const TOLD_SHARE = 0.25
/** Of one address; a screen that people look at wants one or two. */
const OVERVIEWS_PER_SECOND = 10

export class HttpServer {
  readonly #deps: HttpServerDeps
  readonly #server: Server
  readonly #infer: InferHandler
  readonly #app: ReturnType<typeof createApp>
  readonly #answers: AnswerBudget
  /** Of every other route: whoever asks for metrics and never reads must not keep anybody from inference. */
  readonly #told: AnswerBudget
  readonly #received: ReceiveBudget
  readonly #connections: Connections
  readonly #late: LateConnections
  readonly #refusal: RefusalDeps
  #inFlight = 0
  #isDraining = false
  #wasCut = false
  #ended: Promise<boolean> | undefined

  constructor(options: HttpServerOptions, deps: HttpServerDeps) {
    this.#deps = deps
    const { gateway, clock, random } = deps
    const unread = {
      maxBytes: options.maxReceivingBytes,
      stallMs: options.requestTimeoutMs,
      idleMs: socketTimeoutMs(options),
    }
    this.#answers = new AnswerBudget(unread)
    this.#told = new AnswerBudget({ ...unread, maxBytes: TOLD_SHARE * options.maxReceivingBytes })
    this.#received = new ReceiveBudget(options.maxReceivingBytes)
    this.#connections = new Connections(
      { max: options.maxConnections, maxPerAddress: options.maxConnectionsPerAddress },
      clock,
    )
    this.#late = new LateConnections(clock, (error, socket) => this.#onBadBytes(error, socket))
    const shared = {
      gateway,
      clock,
      random,
      observer: this.#counting(deps.observer),
      ids: new RequestIds(deps.bootId),
      traces: deps.traces ?? new TraceStarter({ isOn: false, sample: 0, random }),
      budget: this.#received,
      isDraining: () => this.#isDraining,
    }
    this.#refusal = shared
    this.#infer = new InferHandler(options, { ...shared, answers: this.#answers })
    this.#app = createApp({
      ...shared,
      told: this.#told,
      walkQuota: new AddressQuota(clock, {
        perSecond: options.metadataPerSecond,
        of: 'metadata of models not compiled yet',
      }),
      listQuota: new AddressQuota(clock, {
        perSecond: options.metadataPerSecond / LIST_COST,
        of: 'a list of all models',
      }),
      adminQuota: new AddressQuota(clock, { perSecond: OVERVIEWS_PER_SECOND, of: 'an overview' }),
      metrics: deps.metrics,
      admin: deps.admin,
      version: deps.version,
    })
    this.#server = this.#createServer(options)
  }

  /**
   * Accepts connections. Resolves with the port, which differs from the one asked for when that was 0.
   * @throws ListenError
   */
  listen(address: { readonly host: string; readonly port: number }): Promise<number> {
    if (this.#ended !== undefined) return Promise.reject(new Error('this server has ended; make another one'))
    return new Promise((resolve, reject) => {
      const onError = (cause: unknown): void => reject(new ListenError(cause, address))
      this.#server.once('error', onError)
      this.#server.listen(address, () => {
        this.#server.off('error', onError)
        resolve((this.#server.address() as AddressInfo).port)
      })
    })
  }

  /** Requests whose answer is not out yet. */
  get inFlight(): number {
    return this.#inFlight
  }

  get connections(): { readonly open: number; readonly refused: Readonly<Record<RefusedBecause, number>> } {
    return this.#connections
  }

  /** Bytes of bodies that are not handed on yet, and of answers that are not taken yet. */
  get heldBytes(): { readonly received: number; readonly unread: number } {
    return { received: this.#received.used, unread: this.#answers.used + this.#told.used }
  }

  get isDraining(): boolean {
    return this.#isDraining
  }

  /**
   * Not ready from now on: accepts no connections, closes each one after its answer. Resolves when all are closed: true when
   * every request was answered, false when some were cut off after `timeoutMs`.
   */
  drain(timeoutMs: number): Promise<boolean> {
    return this.#end(timeoutMs)
  }

  /** Cuts every connection off. */
  async destroy(): Promise<void> {
    const ended = this.#end(0)
    this.#cut()
    await ended
  }

  #end(timeoutMs: number): Promise<boolean> {
    this.#isDraining = true
    this.#ended ??= new Promise((resolve) => {
      const timer = this.#deps.clock.after(timeoutMs, () => this.#cut())
      // The only error there is: it never listened.
      this.#server.close(() => {
        timer.cancel()
        resolve(!this.#wasCut)
      })
      this.#closeWhenQuiet()
    })
    return this.#ended
  }

  #cut(): void {
    this.#wasCut ||= this.#inFlight > 0
    this.#server.closeAllConnections()
  }

  /** Connections that never sent a request count as busy for Node; while draining they are only in the way. */
  #closeWhenQuiet(): void {
    if (this.#isDraining && this.#inFlight === 0) this.#server.closeAllConnections()
  }

  #createServer(options: HttpServerOptions): Server {
    const server = createServer({
      headersTimeout: Math.min(options.headersTimeoutMs, options.requestTimeoutMs),
      requestTimeout: options.requestTimeoutMs,
      keepAliveTimeout: options.keepAliveTimeoutMs,
      maxHeaderSize: options.maxHeaderBytes,
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
      // Checked by ourselves, with what else makes a head ambiguous: Node's own answer has no body.
      requireHostHeader: false,
      shouldUpgradeCallback: isOfferTaken,
    })
    // Node would drop the last of many headers in silence, whatever they say; their bytes are bounded.
    server.maxHeadersCount = 0
    allowHalfClose(server)
    declineUpgrades(server, this.#deps.clock)
    this.#connections.watch(server)
    server.timeout = socketTimeoutMs(options)
    server.on('request', (request: IncomingMessage, response: ServerResponse) =>
      this.#dispatch(request, response, false),
    )
    server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) =>
      this.#dispatch(request, response, true),
    )
    // Passing over an expectation is as good as refusing it, and the rest of the request is as any other's.
    server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) =>
      this.#dispatch(request, response, false),
    )
    server.on('clientError', (error, socket) => {
      if ('code' in error && error.code === 'ERR_HTTP_REQUEST_TIMEOUT') this.#late.add(error, socket)
      else this.#onBadBytes(error, socket)
    })
    return server
  }

  #onBadBytes(error: Error, socket: Duplex): void {
    this.#deps.log.event('server.bad-connection', { message: error.message })
    // The last answer is on its way; whoever sends it sees to the end.
    if (this.#connections.isEnding(socket)) return
    const answer = answerUnderWay(socket)
    // Behind a whole request: its answer still goes out, alone, for one to the bad bytes would be taken for it.
    if (answer?.req.complete === true && !socket.destroyed) this.#connections.endAfter(answer.req, answer)
    else answerBadConnection(error, socket, this.#deps.clock)
  }

  #dispatch(request: IncomingMessage, response: ServerResponse, mustContinue: boolean): void {
    if (!this.#connections.admits(request, response)) return
    this.#inFlight++
    const head = readHead(request.rawHeaders)
    const fault = framingFault(head, request.httpVersion)
    if (fault !== undefined) {
      this.#connections.endAfter(request, response)
      refuseHead(request, response, fault, head.requestId, this.#refusal)
      return
    }
    request.url = originForm(request.url ?? '')
    if (request.method === 'POST') {
      const path = pathOf(request.url)
      if (InferHandler.takes(path)) {
        this.#infer.handle(request, response, path, head, mustContinue)
        return
      }
    }
    if (mustContinue) response.writeContinue()
    this.#app(request, response)
      .then(() => this.#told.watch(request, response))
      .catch((error: unknown) => {
        this.#deps.log.event('process.fault', { err: error }, 'error')
        response.destroy()
      })
  }

  /** Every request, of either way, ends in one summary: that is where it stops being in flight. */
  #counting(observer: RequestObserver): RequestObserver {
    return {
      requestDone: (summary) => {
        this.#inFlight--
        observer.requestDone(summary)
        this.#closeWhenQuiet()
      },
    }
  }
}

/** Nothing moved on a connection for longer than the longest wait there is. */
function socketTimeoutMs({ maxDeadlineMs, requestTimeoutMs }: HttpServerOptions): number {
  return maxDeadlineMs + requestTimeoutMs
}

/** A target of the absolute form, as proxies may send it, as path and query; anything else, also what is no URL, as it came. */
function originForm(target: string): string {
  if (target.startsWith('/') || !/^https?:\/\//i.test(target) || !URL.canParse(target)) return target
  const slash = target.indexOf('/', target.indexOf('://') + 3)
  return slash === -1 ? '/' : target.slice(slash)
}

/** Without its query. */
function pathOf(target: string): string {
  const query = target.indexOf('?')
  return query === -1 ? target : target.slice(0, query)
}
