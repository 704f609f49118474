/** What this server is, and its metrics. */
import type { Router } from '@koa/router'
import type { AppContext, AppDeps, AppState } from '../app-context.ts'

/** Extensions of the Open Inference Protocol that are served, under the names clients look for. */
const EXTENSIONS = [
  'model_repository',
  'model_repository(unload_dependents)',
  'model_configuration',
  'classification',
  'statistics',
  'parameters',
  'binary_tensor_data',
] as const

export function addServerRoutes(router: Router<AppState>, { version, metrics }: AppDeps): void {
  const metadata = (ctx: AppContext): void => {
    ctx.state.route = '/v2'
    ctx.body = { name: 'modelmux', version, extensions: EXTENSIONS }
  }
  router.get('/v2', metadata)
  router.get('/v2/', metadata)
  if (metrics === undefined) return
  router.get('/metrics', async (ctx) => {
    ctx.state.route = '/metrics'
    ctx.body = await metrics.render()
    ctx.set('content-type', metrics.contentType)
  })
}
