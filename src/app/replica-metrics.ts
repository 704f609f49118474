/** The replica's metrics: counters handed to whoever counts, gauges read at each scrape. */
import type { SharedArtifacts } from '../artifact/shared-artifacts.ts'
import type { DeviceLedger } from '../cache/device-ledger.ts'
import type { EntryTable } from '../cache/entry-table.ts'
import type { Ledger } from '../cache/ledger.ts'
import type { PlacementTable } from '../cache/placement-table.ts'
import { readProcessMemory } from '../child/memory.ts'
import { readMemoryPressure } from '../child/memory-pressure.ts'
import type { Quarantine } from '../replica/quarantine.ts'
import type { Recycler } from '../replica/recycler.ts'
import type { ReplicaRequest } from '../replica/request.ts'
import type { WorkQueues } from '../scheduler/work-queues.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Worker } from '../worker/worker.ts'
import type { WorkerPool } from '../worker/worker-pool.ts'
import type { DeviceWatch } from './device-watch.ts'
import type { WorkerVitals } from './worker-vitals.ts'

export interface Observed {
  readonly table: EntryTable
  readonly placements: PlacementTable
  readonly ledger: Ledger
  readonly queues: WorkQueues<ReplicaRequest>
  readonly pool: WorkerPool
  readonly artifacts: SharedArtifacts
  readonly stagedBytes: () => Promise<number | undefined>
  readonly vitals: WorkerVitals
  /** Absent on the CPU. */
  readonly gpu: DeviceWatch | undefined
  readonly device: DeviceLedger | undefined
  readonly recycler: Pick<Recycler<Worker>, 'drifts'>
  readonly quarantine: Quarantine
}

export type ReplicaCounters = ReturnType<typeof observeReplica>

export function observeReplica(metrics: Metrics) {
  return {
    loads: metrics.counter('modelmux_loads_total'),
    compiles: metrics.counter('modelmux_compiles_total'),
    loadSeconds: metrics.histogram('modelmux_load_duration_seconds'),
    evictions: metrics.counter('modelmux_evictions_total'),
    ageAtEviction: metrics.histogram('modelmux_age_at_eviction_seconds').with({}),
    runs: metrics.counter('modelmux_runs_total').with({}),
    workerRestarts: metrics.counter('modelmux_worker_restarts_total'),
    outOfDeviceMemory: metrics.counter('modelmux_device_out_of_memory_total'),
    observe: (observed: Observed) => observeGauges(metrics, observed),
  }
}

function observeGauges(metrics: Metrics, observed: Observed): void {
  observeDevice(metrics, observed)
  const { table, placements, ledger, queues, pool, recycler, artifacts, stagedBytes, vitals, quarantine } = observed
  metrics.observe('modelmux_models_resident', () => countReady(table))
  metrics.observe('modelmux_leases', () => table.pending.leases)
  metrics.observe('modelmux_models_quarantined', () => quarantine.size)
  metrics.observe('modelmux_placements_open', () => placements.size)
  metrics.observe('modelmux_ledger_bytes', () => {
    // What is awaited is promised, not used: it is no part of the sum.
    const { awaited: _awaited, ...kinds } = ledger.snapshot()
    return Object.entries(kinds).map(([kind, bytes]) => [{ kind }, bytes] as const)
  })
  metrics.observe('modelmux_ledger_budget_bytes', () => ledger.budgetBytes)
  metrics.observe('modelmux_queue_depth', () => queues.depth)
  metrics.observe('modelmux_queue_bytes', () => queues.bytes)
  metrics.observe('modelmux_worker_up', () =>
    pool.workers.map(({ id, isUp }) => [{ worker: id }, isUp ? 1 : 0] as const),
  )
  metrics.observe('modelmux_artifacts', () =>
    // Guests leave it to the owner of the folder to tell of it.
    Object.entries(artifacts.store?.forms() ?? {}).map(([form, count]) => [{ form }, count] as const),
  )
  const fleet = () => artifacts.store?.fleet
  metrics.observe('modelmux_fleet_cache_lookups_total', () =>
    [...(fleet()?.lookups ?? [])].map(([outcome, count]) => [{ outcome }, count] as const),
  )
  metrics.observe('modelmux_fleet_cache_bytes_total', () =>
    Object.entries(fleet()?.bytes ?? {}).map(([direction, bytes]) => [{ direction }, bytes] as const),
  )
  metrics.observe('modelmux_fleet_cache_dropped_total', () =>
    [...(fleet()?.drops ?? [])].map(([reason, count]) => [{ reason }, count] as const),
  )
  metrics.observe('modelmux_disk_bytes', async () => {
    const { store } = artifacts
    if (store === undefined) return []
    const sources = await stagedBytes()
    return [
      [{ kind: 'artifacts' }, store.diskUsage().bytes] as const,
      ...(sources === undefined ? [] : [[{ kind: 'sources' }, sources] as const]),
    ]
  })
  metrics.observe('modelmux_cache_folder_role', () =>
    artifacts.role === undefined ? [] : [[{ role: artifacts.role }, 1]],
  )
  metrics.observe('modelmux_worker_major_faults_total', () =>
    pool.workers.map(({ slot }) => [{ worker: slot }, vitals.of(slot).majorFaults] as const),
  )
  metrics.observe('modelmux_memory_pressure_seconds_total', async () => {
    const pressure = await readMemoryPressure()
    if (pressure === undefined) return []
    return [
      [{ kind: 'some' }, pressure.someSeconds],
      [{ kind: 'full' }, pressure.fullSeconds],
    ] as const
  })
  metrics.observe('modelmux_worker_drift_bytes', () =>
    pool.workers.map(({ slot }) => [{ worker: slot }, recycler.drifts.get(slot) ?? 0] as const),
  )
  metrics.observe('modelmux_worker_private_bytes', async () => {
    const rows = await Promise.all(
      pool.everyWorker.map(
        async ({ id, pid }) => [{ worker: id }, (await readProcessMemory(pid))?.privateBytes ?? 0] as const,
      ),
    )
    return rows.filter(([, bytes]) => bytes > 0)
  })
}

function observeDevice(metrics: Metrics, { gpu, device }: Observed): void {
  if (gpu === undefined || device === undefined) return
  metrics.observe('modelmux_device_up', () => (gpu.isUp ? 1 : 0))
  metrics.observe('modelmux_device_budget_bytes', () => device.budgetBytes)
  metrics.observe('modelmux_device_bytes', async () => {
    const { open, opening } = device.snapshot()
    const memory = await gpu.memory()
    const told =
      memory === undefined
        ? []
        : ([
            ['used', memory.usedBytes],
            ['total', memory.totalBytes],
          ] as const)
    return [['open', open] as const, ['opening', opening] as const, ...told].map(
      ([kind, bytes]) => [{ kind }, bytes] as const,
    )
  })
}

function countReady(table: EntryTable): number {
  let count = 0
  for (const entry of table.entries()) if (entry.status.s === 'ready') count++
  return count
}
