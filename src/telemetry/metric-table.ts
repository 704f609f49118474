/**
 * Every metric of the product, in one table: what `/metrics` prints is this and nothing else. Names carry the base unit and
 * end in `_total` if and only if they count. Labels have few values by construction: never a tenant or a caller, and a model
 * only in the rows that `telemetry.perModelMetrics` turns on and bounds.
 */

export interface MetricRow {
  readonly type: 'counter' | 'gauge' | 'histogram'
  /** Base unit that the name carries; '' for plain numbers. */
  readonly unit: 'seconds' | 'bytes' | ''
  readonly labels: readonly string[]
  readonly help: string
  /** Upper bounds of a histogram's buckets, ascending, without infinity. */
  readonly buckets?: readonly number[]
}

/** From half a millisecond (a small model in memory) to a minute (a cold load from a slow store). */
const REQUEST_SECONDS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]
/** Phases may be far shorter than a request: decoding a few numbers takes microseconds. */
const PHASE_SECONDS = [
  0.00001, 0.00005, 0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60,
]
const ROWS = [1, 2, 4, 8, 16, 32, 64, 128, 256]
/** From seconds (thrashing) to a day (a budget that is large enough). */
const AGE_SECONDS = [1, 5, 15, 60, 300, 900, 3600, 14_400, 86_400]

export const METRICS = {
  modelmux_build_info: gauge('', ['version', 'node', 'onnxruntime', 'device'], 'Always 1; its labels say what runs.'),
  modelmux_requests_total: counter(
    '',
    ['route', 'status', 'code'],
    'Requests answered, by URL template, status and error code.',
  ),
  modelmux_request_duration_seconds: histogram(
    'seconds',
    ['route'],
    REQUEST_SECONDS,
    'Time from request head to answer.',
  ),
  modelmux_phase_duration_seconds: histogram(
    'seconds',
    ['phase'],
    PHASE_SECONDS,
    'Time an inference spent in one phase, of those it went through.',
  ),
  modelmux_cache_outcomes_total: counter('', ['outcome'], 'Inferences by what the cache did for them.'),
  modelmux_request_bytes_total: counter('bytes', [], 'Bytes of request bodies read.'),
  modelmux_response_bytes_total: counter('bytes', [], 'Bytes of response bodies sent.'),
  modelmux_requests_in_flight: gauge('', [], 'Requests being read, waiting, or running.'),
  modelmux_connections_open: gauge('', [], 'Client connections.'),
  modelmux_connections_refused_total: counter(
    '',
    ['reason'],
    'Connections closed as they came: `full` (of all), `address` (of one address).',
  ),
  modelmux_http_held_bytes: gauge(
    'bytes',
    ['kind'],
    'Bytes of bodies being received (`received`), and of answers their clients have not taken (`unread`).',
  ),
  modelmux_errors_counted_total: counter('', ['against'], 'Errors by whose health they count against.'),

  modelmux_model_requests_total: counter(
    '',
    ['model'],
    'Inferences by model, where telemetry.perModelMetrics allows labels; everybody else is `other`.',
  ),
  modelmux_model_errors_total: counter('', ['model'], 'Of them, those that failed.'),
  modelmux_model_request_seconds_total: counter('seconds', ['model'], 'Time that they took together.'),
  modelmux_model_cold_starts_total: counter('', ['model'], 'Of them, those whose model had to be loaded or compiled.'),

  modelmux_models_registered: gauge('', [], 'Versions that the registry lists.'),
  modelmux_models_resident: gauge('', [], 'Versions whose memory is reserved and that answer without a load.'),
  modelmux_leases: gauge('', [], 'Uses of resident versions that are under way.'),
  modelmux_placements_open: gauge('', [], 'Sessions open in workers.'),
  modelmux_ledger_bytes: gauge('bytes', ['kind'], 'Bytes that the ledger counts, by kind.'),
  modelmux_ledger_budget_bytes: gauge('bytes', [], 'Bytes that the ledger may promise.'),
  modelmux_loads_total: counter('', ['outcome'], 'Loads by outcome.'),
  modelmux_load_duration_seconds: histogram(
    'seconds',
    ['phase'],
    REQUEST_SECONDS,
    'Time a load spent in one phase, and in `total`.',
  ),
  modelmux_evictions_total: counter('', ['reason'], 'Entries evicted, by reason.'),
  modelmux_age_at_eviction_seconds: histogram(
    'seconds',
    [],
    AGE_SECONDS,
    'Time since last use of what was evicted: short ages mean thrashing.',
  ),

  modelmux_strikes_total: counter(
    '',
    ['reason'],
    "Crashes and hangs proven to be a model's own, by how its process ended.",
  ),
  modelmux_models_quarantined: gauge('', [], 'Versions that are refused for what they did to a worker or compiler.'),
  modelmux_suspects_total: counter(
    '',
    ['verdict'],
    'Requests run alone after their worker died under several: cleared or not.',
  ),

  modelmux_artifacts: gauge('', ['form'], 'Artifacts on disk, by form.'),
  modelmux_compiles_total: counter('', ['outcome'], 'Compiles by outcome.'),
  modelmux_fleet_cache_lookups_total: counter(
    '',
    ['outcome'],
    'Looks for a compiled model in the fleet cache: `hit`, `miss`, `wrong` (not believed), `unavailable`, `late`, `failed` (disk), `skipped`.',
  ),
  modelmux_fleet_cache_bytes_total: counter(
    'bytes',
    ['direction'],
    'Bytes `fetched` from the fleet cache, and `sent`.',
  ),
  modelmux_fleet_cache_dropped_total: counter(
    '',
    ['reason'],
    'Compiled models that were not sent to the fleet cache: `queue-full`, `too-large`, `failed`, `closed`.',
  ),
  modelmux_disk_bytes: gauge('bytes', ['kind'], 'Bytes in the cache folder: artifacts, and sources that were fetched.'),
  modelmux_cache_folder_role: gauge(
    '',
    ['role'],
    'Always 1; its label says whether this process owns the cache folder, is a guest there, or only reads it.',
  ),

  modelmux_queue_depth: gauge('', [], 'Requests waiting for a worker.'),
  modelmux_queue_bytes: gauge('bytes', [], 'Bytes of the bodies that wait for a worker.'),
  modelmux_batch_rows: histogram('', [], ROWS, 'Rows in the run that a request was part of.'),
  modelmux_runs_total: counter('', [], 'Runs of the engine; a stacked run counts once.'),

  modelmux_worker_up: gauge('', ['worker'], '1 while the worker process is up.'),
  modelmux_worker_restarts_total: counter(
    '',
    ['reason'],
    'Worker processes that ended, by reason (`crash`, `hang`, `memory-cap`, `host`, `recycle`, `rebind`).',
  ),
  modelmux_worker_drift_bytes: gauge(
    'bytes',
    ['worker'],
    'Private memory of a worker beyond what is known to be in it; too much of it has the process replaced.',
  ),
  modelmux_worker_private_bytes: gauge('bytes', ['worker'], 'Private memory of a worker process.'),

  modelmux_worker_major_faults_total: counter(
    '',
    ['worker'],
    'Pages that a worker had to wait for the disk for: memory is too small for what is mapped.',
  ),
  modelmux_memory_pressure_seconds_total: counter(
    'seconds',
    ['kind'],
    'Time in which some process, or all (`full`), stood still for want of memory; absent where the kernel does not tell.',
  ),

  modelmux_device_up: gauge('', [], '1 while the GPU that models run on answers; absent on the CPU.'),
  modelmux_device_bytes: gauge(
    'bytes',
    ['kind'],
    'Memory of the GPU: charged to sessions, by state, and as the driver tells where it does.',
  ),
  modelmux_device_budget_bytes: gauge('bytes', [], 'Memory of the GPU that sessions may be charged together.'),
  modelmux_device_out_of_memory_total: counter('', ['when'], 'How often the GPU itself was out of memory.'),

  modelmux_registry_scan_seconds: gauge(
    'seconds',
    ['prefix'],
    'Duration of the last full scan of a registry, by the prefix of its names.',
  ),
  modelmux_registry_age_seconds: gauge(
    'seconds',
    ['prefix'],
    'Time since what a registry knows was last seen to be so, by the prefix of its names.',
  ),
  modelmux_event_loop_lag_seconds: gauge(
    'seconds',
    ['quantile'],
    'How late the main event loop ran its timers since the last scrape.',
  ),
  modelmux_log_lines_dropped_total: counter('', [], 'Log lines dropped because nobody read them fast enough.'),
  modelmux_spans_dropped_total: counter(
    '',
    ['reason'],
    'Spans dropped, because the queue was full or the collector did not take them.',
  ),
  modelmux_journal_dropped_total: counter('', [], 'Records of the journal that could not be written to disk.'),
  modelmux_process_resident_bytes: gauge('bytes', [], 'Resident memory of the main process.'),
} as const satisfies Record<string, MetricRow>

type Table = typeof METRICS
export type MetricName = keyof Table
export type CounterName = { [N in MetricName]: Table[N]['type'] extends 'counter' ? N : never }[MetricName]
export type GaugeName = { [N in MetricName]: Table[N]['type'] extends 'gauge' ? N : never }[MetricName]
export type HistogramName = { [N in MetricName]: Table[N]['type'] extends 'histogram' ? N : never }[MetricName]
export type LabelOf<N extends MetricName> = Table[N]['labels'][number]
/** One value for each label of a metric; `{}` for one without labels. */
export type LabelValues<L extends string> = { readonly [K in L]: string }

function counter<const L extends readonly string[]>(unit: MetricRow['unit'], labels: L, help: string) {
  return { type: 'counter', unit, labels, help } as const
}

function gauge<const L extends readonly string[]>(unit: MetricRow['unit'], labels: L, help: string) {
  return { type: 'gauge', unit, labels, help } as const
}

function histogram<const L extends readonly string[]>(
  unit: MetricRow['unit'],
  labels: L,
  buckets: readonly number[],
  help: string,
) {
  return { type: 'histogram', unit, labels, buckets, help } as const
}
