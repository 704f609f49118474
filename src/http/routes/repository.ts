/**
 * The model repository extension: what there is, and orders to load and to give memory back. A load takes the model as its
 * registry has it; files and configurations in the request are refused (Triton's took them, CVE-2023-31036).
 */
import type { Router } from '@koa/router'
import { GatewayError } from '../../domain/errors.ts'
import { printable } from '../../domain/model-ref.ts'
import { readPathRef } from '../../protocol/headers.ts'
import type { AppContext, AppDeps, AppState } from '../app-context.ts'
import { addressOf } from '../app-context.ts'
import { readJsonObject } from '../json-body.ts'

const PREFIX = '/v2/repository/models/'
const ORDERS = ['load', 'unload'] as const
type Order = (typeof ORDERS)[number]

export function addRepositoryRoutes(router: Router<AppState>, deps: AppDeps): void {
  router.post('/v2/repository/index', async (ctx) => {
    ctx.state.route = '/v2/repository/index'
    deps.listQuota.spend(addressOf(ctx))
    const { ready } = await readJsonObject(ctx, deps.budget)
    if (ready !== undefined && typeof ready !== 'boolean')
      throw new GatewayError('BAD_REQUEST', "'ready' is not true or false")
    ctx.body = await deps.gateway.index({ readyOnly: ready === true })
  })
  router.post('/v2/repository/models/*rest', (ctx) => follow(ctx, deps))
  router.post('/v2/repository/:repository/index', (ctx) => {
    ctx.state.route = '/v2/repository/{repository}/index'
    throw new GatewayError('UNSUPPORTED', 'repositories have no names here; use POST /v2/repository/index')
  })
}

async function follow(ctx: AppContext, { gateway, budget }: AppDeps): Promise<void> {
  const found = readOrder(ctx.path)
  if (found === undefined) throw new GatewayError('NOT_FOUND', `there is nothing at ${printable(ctx.path)}`)
  const { order, name } = found
  ctx.state.route = `${PREFIX}{model}/${order}`
  const ref = readPathRef(name)
  ctx.state.model = ref.name
  refuseOverrides(await readJsonObject(ctx, budget))
  const { signal } = ctx.state
  const done = order === 'load' ? await gateway.load(ref, signal) : await gateway.unload(ref, signal)
  ctx.state.version = done.version
  ctx.body = { name: done.name, version: done.version, [order]: true }
}

function readOrder(path: string): { order: Order; name: string } | undefined {
  const order = ORDERS.find((word) => path.endsWith(`/${word}`))
  return order === undefined
    ? undefined
    : { order, name: path.slice(PREFIX.length, Math.max(PREFIX.length, path.length - order.length - 1)) }
}

function refuseOverrides({ parameters }: Readonly<Record<string, unknown>>): void {
  if (parameters === undefined) return
  if (typeof parameters !== 'object' || parameters === null)
    throw new GatewayError('BAD_REQUEST', "'parameters' is not an object")
  for (const key of Object.keys(parameters)) {
    if (key !== 'config' && !key.startsWith('file:')) continue
    throw new GatewayError(
      'UNSUPPORTED',
      `the parameter '${printable(key)}' would bring a model along with the request; put the model where the registry finds it`,
    )
  }
}
