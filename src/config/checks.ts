/** Rules between fields, and between a configuration and the folders it names. */
import { accessSync, constants, mkdirSync, statSync } from 'node:fs'
import { resolve, sep } from 'node:path'
import { isGpu, parseDevice } from '../domain/device.ts'
import { isMlflowText, mlflowUriProblem } from '../domain/mlflow-uri.ts'
import { prefixProblem } from '../domain/name-routes.ts'
import { isS3Uri, s3FolderProblem } from '../domain/s3-uri.ts'
import type { Config } from './schema.ts'

export interface Rule {
  /** Fields the rule reads; a rule is left out when one of them has a problem of its own. */
  readonly fields: readonly string[]
  /** What is wrong: nothing, one thing or several. */
  problem(config: Config): string | undefined | readonly string[]
}

type Pair = readonly [path: string, value: number]

export const CROSS_FIELD_RULES: readonly Rule[] = [
  notOver('server.maxJsonBytes', 'server.maxBodyBytes', ({ server }) => [server.maxJsonBytes, server.maxBodyBytes]),
  notOver('server.deadlineMs', 'server.maxDeadlineMs', ({ server }) => [server.deadlineMs, server.maxDeadlineMs]),
  notOver('server.headersTimeoutMs', 'server.requestTimeoutMs', ({ server }) => [
    server.headersTimeoutMs,
    server.requestTimeoutMs,
  ]),
  notOver('server.maxBodyBytes', 'scheduler.maxQueuedBytes', ({ server, scheduler }) => [
    server.maxBodyBytes,
    scheduler.maxQueuedBytes,
  ]),
  notOver('scheduler.maxQueuedPerModel', 'scheduler.maxQueuedRequests', ({ scheduler }) => [
    scheduler.maxQueuedPerModel,
    scheduler.maxQueuedRequests,
  ]),
  notOver('scheduler.minBatchMs', 'scheduler.maxBatchMs', ({ scheduler }) => [
    scheduler.minBatchMs,
    scheduler.maxBatchMs,
  ]),
  notOver('cache.failure.baseMs', 'cache.failure.maxMs', ({ cache }) => [cache.failure.baseMs, cache.failure.maxMs]),
  notOver('worker.respawnBaseMs', 'worker.respawnMaxMs', ({ worker }) => [worker.respawnBaseMs, worker.respawnMaxMs]),
  {
    fields: ['device.use', 'worker.count'],
    problem: ({ device, worker }) =>
      isGpu(parseDevice(device.use) ?? 'cpu') && (worker.count ?? 1) > 1
        ? `device.use = ${JSON.stringify(device.use)} and worker.count = ${worker.count}: expected worker.count to be null or 1, as a GPU has one worker`
        : undefined,
  },
  {
    fields: ['store.models', 'cache.dir'],
    problem: ({ store, cache }) => overlapProblem('store.models', store.models, cache.dir),
  },
  {
    fields: ['store.sources', 'cache.dir'],
    problem: ({ store, cache }) =>
      store.sources.flatMap(({ models }, at) => overlapProblem(sourceField(at), models, cache.dir) ?? []),
  },
  {
    fields: ['store.sources'],
    problem: ({ store }) => prefixProblems(store.sources.map(({ prefix }) => prefix)),
  },
  {
    fields: ['store.models', 'store.sources', 'artifact.fleetCache.place'],
    problem: ({ store, artifact: { fleetCache } }) =>
      [store.models, ...store.sources.map(({ models }) => models)]
        .filter((models) => isS3Uri(models) && fleetCache.place !== null && areNested(models, fleetCache.place))
        .map(
          (models) =>
            `artifact.fleetCache.place = ${JSON.stringify(fleetCache.place)} and models in ${JSON.stringify(models)}: expected neither to lie in the other`,
        ),
  },
]

/** Looks at the disk, and creates the cache's folder. */
export const FOLDER_RULES: readonly Rule[] = [
  {
    fields: ['store.models'],
    problem: ({ store }) => modelsProblem('store.models', store.models),
  },
  {
    fields: ['store.sources'],
    problem: ({ store }) => store.sources.flatMap(({ models }, at) => modelsProblem(sourceField(at), models) ?? []),
  },
  {
    fields: ['cache.dir'],
    problem: ({ cache }) => cacheProblem(cache.dir),
  },
]

function notOver(low: string, high: string, values: (config: Config) => readonly [number, number]): Rule {
  return {
    fields: [low, high],
    problem(config) {
      const [lowValue, highValue] = values(config)
      return lowValue <= highValue ? undefined : overMessage([low, lowValue], [high, highValue])
    },
  }
}

function overMessage([low, lowValue]: Pair, [high, highValue]: Pair): string {
  return `${low} = ${lowValue} and ${high} = ${highValue}: expected ${low} to be at most ${high}`
}

function sourceField(at: number): string {
  return `store.sources[${at}].models`
}

function overlapProblem(field: string, models: string, cache: string): string | undefined {
  return isPath(models) && (isWithin(models, cache) || isWithin(cache, models))
    ? `${field} = ${JSON.stringify(models)} and cache.dir = ${JSON.stringify(cache)}: expected neither to lie in the other`
    : undefined
}

function prefixProblems(prefixes: readonly string[]): string[] {
  return prefixes.flatMap((prefix, at) => {
    const where = `store.sources[${at}].prefix = ${JSON.stringify(prefix)}`
    const problem = prefixProblem(prefix)
    if (problem !== undefined) return `${where}: ${problem}; expected the first segments of names, like acme or acme/eu`
    return prefixes.indexOf(prefix) < at ? `${where}: expected each prefix once` : []
  })
}

function modelsProblem(field: string, models: string): string | undefined {
  const where = `${field} = ${JSON.stringify(models)}`
  if (isS3Uri(models)) {
    const problem = s3FolderProblem(models)
    return problem === undefined ? undefined : `${where}: ${problem}; expected s3://bucket or s3://bucket/prefix`
  }
  const what = 'expected a folder of models that exists; create it, or name another with --models'
  if (isMlflowText(models)) {
    const problem = mlflowUriProblem(models)
    return problem === undefined
      ? undefined
      : `${where}: ${problem}; expected mlflow+http://host:5000, mlflow+https://host or mlflow:`
  }
  try {
    if (!statSync(models).isDirectory()) return `${where}: it is not a folder; ${what}`
    accessSync(models, constants.R_OK | constants.X_OK)
    return undefined
  } catch (error) {
    return `${where}: ${reasonOf(error)}; ${what}`
  }
}

function cacheProblem(dir: string): string | undefined {
  try {
    mkdirSync(dir, { recursive: true })
    // One that cannot be written to may hold compiled models: the start tells.
    accessSync(dir, constants.R_OK | constants.X_OK)
    return undefined
  } catch (error) {
    return `cache.dir = ${JSON.stringify(dir)}: ${reasonOf(error)}; expected a folder that this process can read, or may create`
  }
}

function reasonOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'ENOENT') return 'it does not exist'
  if (code === 'EACCES') return 'this process may not use it'
  return error instanceof Error ? error.message : String(error)
}

function isPath(models: string): boolean {
  return !isS3Uri(models) && !isMlflowText(models)
}

/** Does one lie in the other? */
function areNested(one: string, other: string): boolean {
  const [a, b] = [one, other].map((place) => `${place.replace(/\/$/, '')}/`)
  return a !== undefined && b !== undefined && (a.startsWith(b) || b.startsWith(a))
}

function isWithin(inner: string, outer: string): boolean {
  const root = resolve(outer)
  return `${resolve(inner)}${sep}`.startsWith(root.endsWith(sep) ? root : `${root}${sep}`)
}
