/** What an operator on this machine may look at. The guard in front of the routes lets nobody else see that they are there. */
import type { Router } from '@koa/router'
import { GatewayError } from '../../domain/errors.ts'
import { printable } from '../../domain/model-ref.ts'
import type { AppContext, AppDeps, AppState } from '../app-context.ts'
import { addressOf } from '../app-context.ts'
import { isLocalPeer } from '../local-peer.ts'

const PREFIX = '/admin/'
const TOP = { preset: 20, min: 1, max: 200 }
const LIMIT = { preset: 100, min: 1, max: 1000 }
const SINCE = { preset: 0, min: 0, max: Number.MAX_SAFE_INTEGER }

/** Stands before routing, so that no route below the prefix can be reached past it. @throws GatewayError NOT_FOUND */
export async function guardAdmin(ctx: AppContext, next: () => Promise<unknown>): Promise<void> {
  if (ctx.path.startsWith(PREFIX) && !isLocalPeer(ctx.req))
    throw new GatewayError('NOT_FOUND', `there is nothing at ${printable(ctx.path)}`)
  await next()
}

export function addAdminRoutes(router: Router<AppState>, { admin, adminQuota }: AppDeps): void {
  if (admin === undefined) return
  router.get('/admin/overview', async (ctx) => {
    ctx.state.route = '/admin/overview'
    const top = wholeNumber(ctx, 'top', TOP)
    adminQuota.spend(addressOf(ctx))
    ctx.body = await admin.overview(top)
  })
  router.get('/admin/events', (ctx) => {
    ctx.state.route = '/admin/events'
    const since = wholeNumber(ctx, 'since', SINCE)
    const limit = wholeNumber(ctx, 'limit', LIMIT)
    adminQuota.spend(addressOf(ctx))
    ctx.body = { lastSeq: admin.lastEvent(), events: admin.events(since, limit) }
  })
}

interface Range {
  readonly preset: number
  readonly min: number
  readonly max: number
}

/** @throws GatewayError BAD_REQUEST */
function wholeNumber(ctx: AppContext, name: string, { preset, min, max }: Range): number {
  const text = new URLSearchParams(ctx.querystring).get(name)
  if (text === null) return preset
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
  if (value >= min && value <= max) return value
  throw new GatewayError(
    'BAD_REQUEST',
    `${name} is '${printable(text)}'; expected a whole number from ${min} to ${max}`,
  )
}
