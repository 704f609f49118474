/** What travels with a request through the Koa app, and what the app's routes work with. */
import type { ParameterizedContext } from 'koa'
import { GatewayError } from '../domain/errors.ts'
import { printable } from '../domain/model-ref.ts'
import type { Clock } from '../lib/clock.ts'
import type { Gateway } from '../routing/gateway.ts'
import type { RequestObserver } from '../telemetry/request-summary.ts'
import type { TraceContext, TraceStarter } from '../telemetry/trace-context.ts'
import type { AddressQuota } from './address-quota.ts'
import type { AdminSource } from './admin-source.ts'
import type { AnswerBudget } from './answer-budget.ts'
import type { ReceiveBudget } from './read-body.ts'
import type { RequestIds } from './request-id.ts'

export interface AppState {
  requestId: string
  /** URL template, set by the route that took the request. */
  route: string
  trace?: TraceContext | undefined
  /** Aborts when the client leaves. */
  signal: AbortSignal
  bytesIn: number
  /** Of an error's body; that of an answer is Koa's to know. */
  bytesOut: number
  error?: GatewayError | undefined
  model?: string | undefined
  version?: string | undefined
}

export type AppContext = ParameterizedContext<AppState>

export interface AppDeps {
  readonly gateway: Gateway
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly observer: RequestObserver
  readonly ids: RequestIds
  readonly traces: TraceStarter
  /** Of walks through model files. */
  readonly walkQuota: AddressQuota
  /** Of lists with a row for every model. */
  readonly listQuota: AddressQuota
  /** Of looks at the server as a whole. */
  readonly adminQuota: AddressQuota
  readonly budget: ReceiveBudget
  /** Of answers that their clients have not taken yet. */
  readonly told: AnswerBudget
  readonly isDraining: () => boolean
  /** Version of this software. */
  readonly version: string
  /** Prometheus' text and its content type; absent = no `/metrics`. */
  readonly metrics: { readonly contentType: string; render(): Promise<string> } | undefined
  /** Absent = nothing below `/admin`. */
  readonly admin: AdminSource | undefined
}

/** The error for a URL that exists for other methods, which the answer names. */
export function methodNotAllowed(ctx: AppContext, allowed: readonly string[]): GatewayError {
  ctx.set('allow', allowed.join(', '))
  return new GatewayError(
    'METHOD_NOT_ALLOWED',
    `${printable(ctx.method)} is not for ${printable(ctx.path)}; use ${allowed.join(' or ')}`,
  )
}

/** Whose quota a request spends. Without a proxy's word for it, which anybody could forge. */
export function addressOf(ctx: AppContext): string {
  return ctx.req.socket.remoteAddress ?? ''
}
