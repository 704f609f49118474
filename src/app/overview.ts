/** Puts a server's overview together from its rooms, when somebody asks. Cheap enough for a second's beat with ten thousand models. */
import type { SharedArtifacts } from '../artifact/shared-artifacts.ts'
import { readProcessMemory } from '../child/memory.ts'
import type { Clock } from '../lib/clock.ts'
import type { Activities, Activity, ModelActivity } from '../telemetry/activity.ts'
import type { ModelOverview, Overview, TrafficFacts, WorkerOverview } from '../telemetry/overview.ts'
import type { WorkerPool } from '../worker/worker-pool.ts'
import type { ReplicaRooms } from './replica-rooms.ts'
import type { WorkerVitals } from './worker-vitals.ts'

export interface OverviewParts {
  readonly clock: Clock
  readonly rooms: ReplicaRooms
  readonly pool: Pick<WorkerPool, 'workers'>
  readonly vitals: WorkerVitals
  readonly artifacts: Pick<SharedArtifacts, 'store'>
  readonly activities: Activities
  /** The ModelKey that the registry has for a version now. */
  readonly keyOf: (name: string, version: string) => string | undefined
}

/** What a replica contributes. */
export type ReplicaOverview = Pick<Overview, 'traffic' | 'workers' | 'ledger' | 'queue' | 'compilers'> & {
  readonly models: Omit<Overview['models'], 'registered'>
}

export async function replicaOverview(parts: OverviewParts, top: number): Promise<ReplicaOverview> {
  const { clock, rooms, artifacts, activities } = parts
  const { ledger, queues, loads, table } = rooms
  // What is awaited is promised, not used: it is no part of the sum.
  const { awaited: _awaited, ...bytesByKind } = ledger.snapshot()
  let resident = 0
  for (const { status } of table.entries()) if (status.s === 'ready') resident++
  return {
    traffic: {
      ...trafficOf(activities.all, clock.now()),
      recentHitRatio: activities.recentHitRatio() ?? null,
    },
    models: { resident, hottest: hottestModels(parts, top) },
    workers: await Promise.all(parts.pool.workers.map((worker) => workerOverview(parts, worker))),
    ledger: { budgetBytes: ledger.budgetBytes, usedBytes: ledger.usedBytes, bytesByKind },
    queue: { requests: queues.depth, bytes: queues.bytes, loads: loads.running },
    compilers: artifacts.store?.compilers() ?? [],
  }
}

/** The busiest models, then those in memory that nobody asked for lately, up to `top`. */
function hottestModels(parts: OverviewParts, top: number): ModelOverview[] {
  const { activities, clock, rooms, keyOf } = parts
  const now = clock.now()
  const rows = hottest(activities.models(), top, now).map((activity) =>
    modelOverview(parts, activity.name, activity.version, keyOf(activity.name, activity.version), activity),
  )
  const shown = new Set(rows.map(({ name, version }) => `${name}:${version}`))
  for (const [key, { version }] of rooms.residents) {
    if (rows.length >= top) break
    if (!shown.has(`${version.name}:${version.version}`))
      rows.push(modelOverview(parts, version.name, version.version, key, undefined))
  }
  return rows
}

/** The `count` with the highest rates, highest first. */
export function hottest(models: Iterable<ModelActivity>, count: number, now: number): ModelActivity[] {
  const best: { readonly model: ModelActivity; readonly rate: number }[] = []
  for (const model of models) {
    const rate = model.rate.perSecond(now)
    const last = best[count - 1]
    if (last !== undefined && last.rate >= rate) continue
    let at = best.length
    while (at > 0 && (best[at - 1]?.rate ?? 0) < rate) at--
    best.splice(at, 0, { model, rate })
    if (best.length > count) best.pop()
  }
  return best.map(({ model }) => model)
}

function modelOverview(
  { clock, rooms }: OverviewParts,
  name: string,
  version: string,
  key: string | undefined,
  activity: ModelActivity | undefined,
): ModelOverview {
  const { table, placements, residents, queues } = rooms
  const open = key === undefined ? [] : [...placements.ofKey(key)]
  const blobs = (key === undefined ? undefined : residents.get(key)?.manifest.blobs) ?? []
  return {
    ...trafficOf(activity, clock.now()),
    name,
    version,
    state: (key === undefined ? undefined : table.get(key)?.status.s) ?? 'cold',
    isPinned: key !== undefined && table.isPinned(key),
    privateBytes: open.reduce((sum, { privateBytes }) => sum + privateBytes, 0),
    blobBytes: blobs.reduce((sum, { bytes }) => sum + bytes, 0),
    workers: open.map(({ workerId }) => workerId),
    queued: key === undefined ? 0 : queues.depthOf(key),
  }
}

function trafficOf(activity: Activity | undefined, now: number): TrafficFacts {
  return {
    requestsPerSecond: activity?.rate.perSecond(now) ?? 0,
    requests: activity?.requests ?? 0,
    errors: activity?.errors ?? 0,
    p50Ms: activity?.latency.quantile(0.5) ?? null,
    p99Ms: activity?.latency.quantile(0.99) ?? null,
    outcomes: { hit: 0, load: 0, compile: 0, wait: 0, ...activity?.outcomes },
  }
}

async function workerOverview(
  { rooms, vitals }: OverviewParts,
  { id, slot, pid, isUp }: WorkerPool['workers'][number],
): Promise<WorkerOverview> {
  const { placements, mappings } = rooms
  const memory = pid === 0 ? undefined : await readProcessMemory(pid)
  const { busyCores, majorFaultsPerSecond, restarts } = vitals.of(slot)
  return {
    id,
    pid,
    isUp,
    busyCores: busyCores ?? null,
    privateBytes: memory?.privateBytes ?? 0,
    sessions: [...placements.ofWorker(id)].length,
    mappings: mappings.usedBy(id),
    mappingLimit: mappings.limit,
    restarts,
    majorFaultsPerSecond,
  }
}
