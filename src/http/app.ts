/**
 * Every route but inference, on Koa. Order: id and summary, errors as JSON, anything that guards (before routing, so that no
 * route can slip past it), routes, then what no route took.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { RouterContext } from '@koa/router'
import { Router } from '@koa/router'
import Koa from 'koa'
import { asGatewayError, GatewayError } from '../domain/errors.ts'
import { printable } from '../domain/model-ref.ts'
import type { RequestSummary } from '../telemetry/request-summary.ts'
import type { AppContext, AppDeps, AppState } from './app-context.ts'
import { methodNotAllowed } from './app-context.ts'
import { sendError } from './error-answer.ts'
import { InferHandler } from './infer-handler.ts'
import { addAdminRoutes, guardAdmin } from './routes/admin.ts'
import { addHealthRoutes, isAboutHealth } from './routes/health.ts'
import { addModelRoutes } from './routes/models.ts'
import { addRepositoryRoutes } from './routes/repository.ts'
import { addServerRoutes } from './routes/server.ts'

/** A listener for Node's `request` event. */
export function createApp(deps: AppDeps): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  // Without `proxy`, forwarded headers mean nothing; the host name is never used.
  const app = new Koa<AppState>({ proxy: false })
  // Errors are answered and observed below; Koa's own handler would print them a second time.
  app.silent = true
  const router = createRouter(deps)
  app.use((ctx, next) => observed(ctx, next, deps))
  app.use((ctx, next) => answered(ctx, next, deps))
  app.use(guardAdmin)
  app.use(router.routes())
  app.use((ctx) => nothingTook(ctx))
  return app.callback()
}

/** All routes, in the order in which they are tried. Case and trailing slashes count: a front proxy's path rules must hold here too. */
function createRouter(deps: AppDeps): Router<AppState> {
  const router: Router<AppState> = new Router({ sensitive: true, strict: true })
  addHealthRoutes(router, deps)
  addServerRoutes(router, deps)
  addAdminRoutes(router, deps)
  addRepositoryRoutes(router, deps)
  addModelRoutes(router, deps)
  return router
}

async function observed(ctx: AppContext, next: () => Promise<unknown>, deps: AppDeps): Promise<void> {
  const startedAt = deps.clock.now()
  const requestId = deps.ids.idFor(ctx.get('x-request-id'))
  const abort = new AbortController()
  const trace = deps.traces.adopt(ctx.req.headers.traceparent)
  ctx.state = { requestId, trace, route: 'unknown', signal: abort.signal, bytesIn: 0, bytesOut: 0 }
  ctx.set('x-request-id', requestId)
  ctx.res.once('close', () => {
    const isGone = !ctx.res.writableFinished
    if (isGone) abort.abort()
    deps.observer.requestDone(summaryOf(ctx, deps.clock.now() - startedAt, isGone))
  })
  await next()
  if (deps.isDraining() && !ctx.headerSent) ctx.set('connection', 'close')
}

function summaryOf(ctx: AppContext, durationMs: number, isGone: boolean): RequestSummary {
  const { requestId, route, trace, error, model, version, bytesIn, bytesOut } = ctx.state
  return {
    requestId,
    method: ctx.method,
    route,
    status: isGone ? 499 : ctx.res.statusCode,
    bytesIn,
    bytesOut: ctx.respond === false ? bytesOut : (ctx.length ?? 0),
    durationMs,
    ...(trace !== undefined && { trace }),
    ...(isGone ? { code: 'CLIENT_GONE' as const } : error !== undefined && { code: error.code }),
    ...(error !== undefined && { error }),
    ...(model !== undefined && { model }),
    ...(version !== undefined && { version }),
  }
}

async function answered(ctx: AppContext, next: () => Promise<unknown>, deps: AppDeps): Promise<void> {
  try {
    checkTarget(ctx)
    // Orchestrators ask for health first when something is wrong, and its answers are a few bytes.
    if (!isAboutHealth(ctx.path)) deps.told.checkRoom()
    await next()
  } catch (thrown) {
    answerError(ctx, asGatewayError(thrown), deps)
  }
}

/** @throws GatewayError BAD_REQUEST for a target that no path can be read from; `*` is for a server as a whole. */
function checkTarget({ req: { url = '' } }: AppContext): void {
  // A fragment is for the client itself; somebody else on the way may cut it off, or not.
  if ((url.startsWith('/') && !url.includes('#')) || url === '*') return
  throw new GatewayError(
    'BAD_REQUEST',
    `the target '${printable(url)}' of the request is neither a path nor a URL with one`,
  )
}

function answerError(ctx: AppContext, error: GatewayError, { isDraining, clock, random }: AppDeps): void {
  const { state } = ctx
  state.error = error
  state.model ??= error.facts.model
  state.version ??= error.facts.version
  // Nobody is there to read it, or the answer has begun.
  if (ctx.res.destroyed || ctx.headerSent) {
    ctx.res.destroy()
    return
  }
  ctx.respond = false
  const { requestId, trace } = state
  const traceId = trace?.traceId
  state.bytesOut = sendError(ctx.req, ctx.res, error, { requestId, traceId, isDraining: isDraining(), clock, random })
}

/** No route took the request: wrong method, no such URL, or a question about its methods, which is answered. */
function nothingTook(ctx: AppContext): void {
  const allowed = methodsAt(ctx)
  if (allowed.length === 0) throw new GatewayError('NOT_FOUND', `there is nothing at ${printable(ctx.path)}`)
  if (ctx.method !== 'OPTIONS') throw methodNotAllowed(ctx, allowed)
  ctx.state.route = 'options'
  ctx.set('allow', [...allowed, 'OPTIONS'].join(', '))
  ctx.status = 204
}

function methodsAt(ctx: AppContext): readonly string[] {
  // Taken ahead of all routes here, which know of it only to say so.
  if (InferHandler.takes(ctx.path)) return ['POST']
  return [...new Set(((ctx as RouterContext<AppState>).matched ?? []).flatMap((layer) => layer.methods))]
}
