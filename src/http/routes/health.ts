/** Is this process alive, and may traffic be sent to it? Neither depends on any model, store or registry answering. */
import type { Router } from '@koa/router'
import { GatewayError } from '../../domain/errors.ts'
import type { AppContext, AppDeps, AppState } from '../app-context.ts'

const LIVE = ['/livez', '/v2/health/live']
const READY = ['/readyz', '/v2/health/ready']
const PATHS: ReadonlySet<string> = new Set([...LIVE, ...READY])

export function isAboutHealth(path: string): boolean {
  return PATHS.has(path)
}

export function addHealthRoutes(router: Router<AppState>, deps: AppDeps): void {
  const live = (ctx: AppContext): void => {
    ctx.state.route = ctx.path
    ctx.body = { live: true }
  }
  const ready = (ctx: AppContext): void => {
    ctx.state.route = ctx.path
    const problem = readinessProblem(deps)
    if (problem !== undefined) throw problem
    ctx.body = { ready: true }
  }
  for (const path of LIVE) router.get(path, live)
  for (const path of READY) router.get(path, ready)
}

function readinessProblem({ gateway, isDraining }: AppDeps): GatewayError | undefined {
  if (isDraining()) return new GatewayError('DRAINING', 'the server is going away', { details: { ready: false } })
  const reason = gateway.notReadyReason()
  return reason === undefined ? undefined : new GatewayError('NO_REPLICA', reason, { details: { ready: false } })
}
