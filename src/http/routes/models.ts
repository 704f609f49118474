/** What is known of models: names, metadata, readiness, statistics. Names may hold slashes, so URLs are read from both ends. */
import type { Router } from '@koa/router'
import { GatewayError } from '../../domain/errors.ts'
import type { ModelRef } from '../../domain/model-ref.ts'
import type { AppContext, AppDeps, AppState } from '../app-context.ts'
import { addressOf, methodNotAllowed } from '../app-context.ts'
import { configBody } from '../config-body.ts'
import { metadataBody, statisticsBody } from '../model-bodies.ts'
import type { ModelPath } from '../model-path.ts'
import { refOf, splitModelPath } from '../model-path.ts'

export function addModelRoutes(router: Router<AppState>, deps: AppDeps): void {
  const { gateway, listQuota } = deps
  router.get('/v2/models', (ctx) => {
    ctx.state.route = '/v2/models'
    listQuota.spend(addressOf(ctx))
    ctx.body = { models: gateway.modelNames() }
  })
  // Before the models themselves: no model is called `stats`.
  router.get('/v2/models/stats', async (ctx) => {
    ctx.state.route = '/v2/models/stats'
    listQuota.spend(addressOf(ctx))
    ctx.body = statisticsBody(await gateway.statistics())
  })
  router.get('/v2/models/*rest', (ctx) => answerAboutModel(ctx, deps))
  // Inference itself never gets here; the URL exists only for POST.
  router.get('/v2/infer', (ctx) => {
    ctx.state.route = '/v2/infer'
    throw methodNotAllowed(ctx, ['POST'])
  })
}

async function answerAboutModel(ctx: AppContext, { gateway, walkQuota }: AppDeps): Promise<void> {
  const path = splitModelPath(ctx.path)
  ctx.state.route = routeOf(path)
  if (path.action === 'infer') throw methodNotAllowed(ctx, ['POST'])
  const ref = refOf(path)
  ctx.state.model = ref.name
  ctx.state.version = ref.version
  const describe = () => gateway.metadata(ref, ctx.state.signal, () => walkQuota.spend(addressOf(ctx)))
  switch (path.action) {
    case 'metadata':
      ctx.body = metadataBody(await describe())
      return
    case 'config':
      ctx.body = configBody(await describe())
      return
    case 'ready':
      ctx.body = await readiness(ref, gateway)
      return
    case 'stats':
      ctx.body = statisticsBody(await gateway.statistics(ref))
      return
  }
}

async function readiness(
  ref: ModelRef,
  gateway: AppDeps['gateway'],
): Promise<{ name: string; version: string; ready: true }> {
  const { isReady, name, version, reason } = await gateway.modelReady(ref)
  if (isReady) return { name, version, ready: true }
  throw new GatewayError('MODEL_LOAD_FAILED', reason, { model: name, version, details: { ready: false } })
}

function routeOf({ isVersioned, action }: ModelPath): string {
  const model = isVersioned ? '/v2/models/{model}/versions/{version}' : '/v2/models/{model}'
  return action === 'metadata' ? model : `${model}/${action}`
}
