/**
 * Every field of the configuration: its default, unit, range and meaning, and nowhere else (those of MLflow beside it).
 * `config/default.yaml` is printed from here. Cross-field rules are in `checks.ts`.
 */
import { z } from 'zod'
import { AUTO, parseDevice } from '../domain/device.ts'
import { nameProblem } from '../domain/model-ref.ts'
import { refProblem, regionProblem, urlProblem } from './field-problems.ts'
import {
  bytes,
  bytesOrNull,
  checkedText,
  checkedTextOrNull,
  decimal,
  flag,
  group,
  milliseconds,
  oneOf,
  rowList,
  text,
  textList,
  weights,
  whole,
  wholeOrNull,
} from './fields.ts'
import { fleetCache } from './fleet-cache-fields.ts'
import { mlflow } from './mlflow-fields.ts'

const KiB = 2 ** 10
const MiB = 2 ** 20
const GiB = 2 ** 30
/** Each has connections, a registry in memory and a pace of its own. */
const MAX_SOURCES = 64

const server = section('The HTTP server and the limits of a request.', {
  host: text(
    '127.0.0.1',
    'Address to listen on; 0.0.0.0 for all. There is no authentication yet: keep it behind something that has.',
  ),
  port: whole(8080, 'TCP port; 0 picks a free one.', { max: 65_535 }),
  maxBodyBytes: bytes(64 * MiB, 'Largest request body, also after decompression.', { min: KiB, max: GiB }),
  maxJsonBytes: bytes(8 * MiB, 'Largest JSON part of a request body; binary tensors are not counted.', {
    min: KiB,
    max: 256 * MiB,
  }),
  maxAnswerBytes: bytes(
    256 * MiB,
    'Largest answer of an inference; a request that asks for more is refused with 400.',
    {
      min: KiB,
      max: GiB,
    },
  ),
  compressMinBytes: bytes(
    64 * KiB,
    'Answers of inferences from this size on are compressed for clients that accept gzip or deflate; 0 = none.',
  ),
  headersTimeoutMs: milliseconds(10_000, 'Time a client has to send its headers.', { min: 100 }),
  requestTimeoutMs: milliseconds(60_000, 'Time a client has to send the whole request.', { min: 100 }),
  keepAliveTimeoutMs: milliseconds(
    75_000,
    'How long an idle connection is kept; more than that of a load balancer in front.',
    { min: 100 },
  ),
  maxHeaderBytes: bytes(16 * KiB, 'Largest request line and headers together.', { min: KiB, max: MiB }),
  maxConnections: whole(10_000, 'Open client connections.', { min: 1 }),
  maxConnectionsPerAddress: whole(
    0,
    'Of these, from one address; 0 = no such limit, for behind a load balancer all come from a few. Set it where clients connect directly.',
  ),
  drainTimeoutMs: milliseconds(30_000, 'How long a stopping server waits for requests under way.'),
  deadlineMs: milliseconds(30_000, 'Deadline of an inference whose client and model name none.', { min: 1 }),
  maxDeadlineMs: milliseconds(600_000, 'Longest deadline a client may ask for.', { min: 1 }),
  defaultModel: checkedTextOrNull(
    'Model of a request that names none; null = such a request is refused.',
    'a model id',
    refProblem,
  ),
  metadataPerSecond: decimal(
    20,
    'Walks through model files for metadata of models not compiled yet, a second and address; a fifth as many lists of all models.',
    {
      min: 0.1,
      max: 10_000,
    },
  ),
})

const store = section('Where models come from: a folder, a folder in S3, or an MLflow registry.', {
  models: text(
    './models',
    'Folder of models, <name>/<version>/model.onnx: a path relative to the working directory, or s3://bucket/prefix. Or an MLflow registry: mlflow+http://host:5000, mlflow+https://host, or mlflow: for the one of MLFLOW_TRACKING_URI.',
  ),
  sources: rowList(
    ['prefix', 'models'],
    MAX_SOURCES,
    'Other places, each for the names under a prefix (whole segments; the longest that fits counts); store.models is for the rest.',
  ),
  pollMs: milliseconds(5000, 'Pause between two looks at the whole folder.', { min: 50 }),
  settleMs: milliseconds(1000, 'A version counts once its files did not change for this long.'),
  allowHardLinks: flag(
    false,
    'Accept model files with several hard links (a link can bring in a file from elsewhere).',
  ),
  s3: group('S3; credentials come from the environment, a profile or a role, as for any AWS SDK.', {
    endpoint: checkedTextOrNull(
      'URL of the server, like http://127.0.0.1:9000; null = AWS.',
      'an http or https URL without a password',
      urlProblem,
    ),
    region: checkedTextOrNull(
      'Region; null = as the environment or the profile says, us-east-1 where they do not and there is an endpoint.',
      'the name of a region',
      regionProblem,
    ),
    pathStyle: flag(
      false,
      'Address buckets as http://host/bucket instead of http://bucket.host; most servers but AWS want it.',
    ),
    pollMs: milliseconds(30_000, 'Pause between two listings of the folder, a call for each 1,000 objects.', {
      min: 500,
    }),
  }),
  mlflow,
})

const model = section('What holds for a model whose modelmux.yaml says nothing else.', {
  batching: oneOf(['auto', 'off'], 'auto', 'auto: stack requests when that was found safe for the model; off: never.'),
  maxRows: whole(64, 'Rows in one stacked run.', { min: 1, max: 65_536 }),
  maxDelayMs: milliseconds(0, 'How long a request may wait for company while its worker is free.', { max: 1000 }),
  intraOpThreads: whole(1, 'Threads of one run.', { min: 1, max: 256 }),
})

const cache = section('Compiled artifacts on disk, open models in memory.', {
  dir: text('./.modelmux', 'Folder of artifacts; created when it is missing. Relative to the working directory.'),
  memoryBytes: bytesOrNull('Memory for open models; null = memoryFraction of the limit this process is under.', {
    min: 16 * MiB,
  }),
  memoryFraction: decimal(0.7, 'Share of the memory limit for open models when memoryBytes is null.', {
    min: 0.05,
    max: 0.95,
  }),
  minResidencyMs: milliseconds(1000, 'A model is not evicted sooner than this after it was opened.'),
  policy: oneOf(
    ['slru', 'lru'],
    'slru',
    'Order of eviction. lru: least recently used first; slru: those first that were not asked for again since they were loaded.',
  ),
  pins: textList(
    [],
    'Models that are loaded at start and never evicted.',
    'model ids (name, name:version or name@alias)',
    refProblem,
  ),
  pinRereadMs: milliseconds(
    60_000,
    'Pause between two looks whether the files of pinned models are still in memory; what is not is read again. 0 = never.',
  ),
  diskBytes: bytes(50 * GiB, 'Disk space for artifacts; the least recently used ones go first.', { min: 16 * MiB }),
  stagingBytes: bytes(
    20 * GiB,
    'Disk space for model files that were fetched from elsewhere, beside diskBytes; what no load needs goes first.',
    { min: 16 * MiB },
  ),
  minFreeDiskBytes: bytes(GiB, 'Disk space that artifacts and fetched files leave free.'),
  failure: group('Back-off of loads that failed for a passing reason.', {
    baseMs: milliseconds(1000, 'First pause; doubles with each failure.', { min: 1 }),
    maxMs: milliseconds(600_000, 'Longest pause.', { min: 1 }),
  }),
})

const artifact = section('Compiling models.', {
  minBlobBytes: bytes(
    64 * KiB,
    'Tensors of at least this size are files of their own, shared between models; smaller ones stay in the graph.',
    { min: 1 },
  ),
  allowOrt: flag(false, 'Accept models in .ort format; they are as trusted as native code.'),
  extraDomains: textList(
    [],
    "Operator domains that a model may use beside ONNX's, ONNX Runtime's and its own functions'.",
    'operator domains',
  ),
  maxNodes: whole(
    100_000,
    'Nodes of a graph, subgraphs included and functions written out where they are called; the engine takes 10 KB for each.',
    { min: 1 },
  ),
  inlineSaveBytes: bytes(
    1_500_000_000,
    'Up to this size a graph is optimised in one piece; above, its tensors are saved outside.',
    { min: MiB, max: 2_000_000_000 },
  ),
  compilers: whole(1, 'Compiler processes of each of the two lanes (small and large sources).', { min: 1, max: 64 }),
  smallSourceBytes: bytes(16 * MiB, 'Sources up to this size use the lane of small ones.'),
  compileDeadlineMs: milliseconds(60_000, 'Time a compile may take, before compileDeadlineMsPerMiB is added.', {
    min: 1000,
  }),
  checkMs: milliseconds(
    10_000,
    'Time that one run on made-up inputs may take before the check is left to the first request.',
    { min: 100 },
  ),
  compileDeadlineMsPerMiB: decimal(100, 'Milliseconds added to the deadline for each MiB of the source.', {
    max: 60_000,
  }),
  compileMemoryBytes: bytes(
    GiB,
    'Memory cap of a compiler, before compileMemoryFactor is added; it starts at 600 MB itself.',
    { min: 768 * MiB },
  ),
  compileMemoryFactor: decimal(4, 'Times the size of the source that is added to the memory cap.', { max: 100 }),
  probe: flag(
    true,
    'Measure a new artifact in the background after its first answer; without it nothing is ever stacked.',
  ),
  scrubBytesPerSecond: bytes(10 * MiB, 'Speed of the background check of artifacts against their digests; 0 = off.'),
  pageInBytesPerSecond: bytes(GiB, 'Speed at which the files of a model are read before it is opened.', { min: MiB }),
  fleetCache: group('Compiled models that machines of a kind share in a bucket, reached as store.s3 says.', fleetCache),
})

const device = section('What models run on.', {
  use: checkedText(
    'cpu',
    'cpu, webgpu, cuda:N, or auto: cuda:0 if it answers, else cpu. A GPU asked for by name and missing ends the start.',
    'one of cpu, webgpu, cuda:N and auto',
    (value) => value === AUTO || parseDevice(value) !== undefined,
  ),
  memoryBytes: bytesOrNull(
    'Memory of the GPU for open models; null = memoryFraction of all it has, and 1 GiB on webgpu, where no driver tells.',
    { min: MiB },
  ),
  memoryFraction: decimal(0.8, 'Share of the GPU for open models when memoryBytes is null.', { min: 0.05, max: 0.95 }),
  maxDeviation: decimal(
    0.02,
    "On a GPU: a model whose answers lie further from the CPU's, as a share of what the output varies by, is refused.",
    { max: 1000 },
  ),
})

const worker = section('Processes that run models.', {
  count: wholeOrNull('Worker processes; null = the cores this process may use, or one on a GPU.', {
    min: 1,
    max: 1024,
  }),
  hangMs: milliseconds(
    30_000,
    'A run longer than this, and than 20 times the measured one, hangs: its worker is killed.',
    { min: 100 },
  ),
  isolation: oneOf(
    ['shared', 'tenant', 'model'],
    'shared',
    'shared: any worker runs any model; tenant, model: a worker process only ever opens the models of one tenant, or of one name, and is replaced for another; compilers serve one tenant each, then.',
  ),
  memoryBytes: bytesOrNull(
    'Private memory at which one worker is killed; null = twice the memory for open models and 256 MiB a worker for all together, at most 0.9 of the limit this process is under.',
    { min: 256 * MiB },
  ),
  maxMappings: wholeOrNull('Memory mappings of one worker; null = 0.8 of vm.max_map_count.', { min: 1000 }),
  recycleDriftBytes: bytes(
    512 * MiB,
    'Memory that a worker may keep beyond what is open in it before a fresh process, its hot models open, takes its place; 0 = never.',
  ),
  recyclePauseMs: milliseconds(60_000, 'Pause between two workers that are replaced for that.'),
  recycleHotModels: whole(200, 'Models that such a process opens before it takes over, at most.', { max: 100_000 }),
  stopGraceMs: milliseconds(5000, 'Time a worker has to end before it is killed.'),
  respawnBaseMs: milliseconds(
    100,
    'Pause before a worker that did not come up is started again; doubles with each start that fails.',
    {
      min: 1,
    },
  ),
  respawnMaxMs: milliseconds(30_000, 'Longest such pause.', { min: 1 }),
  majorFaultsAlarm: whole(
    200,
    'Pages a second that workers wait for the disk for, together, while requests are served, before memory.major-faults is logged; 0 = never.',
  ),
  maxSuspects: whole(
    1000,
    'Requests that may wait to be run alone in a spare worker, after a worker died under several at once.',
    { min: 1 },
  ),
  spareIdleMs: milliseconds(60_000, 'How long that spare worker is kept when nothing is to be run there.'),
})

const quarantine = section('Models that crash or hang their workers.', {
  strikes: whole(2, "Crashes and hangs proven to be the model's own, by different requests, that get it refused,", {
    min: 1,
    max: 100,
  }),
  windowMs: milliseconds(600_000, 'when they happen within this time.', { min: 1000 }),
  expireMs: wholeOrNull(
    'Milliseconds until a refused model is tried again by itself; null = not before it is released.',
    {
      min: 1000,
    },
  ),
})

const scheduler = section('Queues and batches.', {
  starvationMs: milliseconds(500, 'A model that waited this long goes first.', { min: 1 }),
  maxBatchMs: milliseconds(250, 'Expected run time of what a worker takes at once, at most.', { min: 1 }),
  minBatchMs: milliseconds(10, 'A worker may always take work for this long at once, however short a single run is.', {
    min: 1,
  }),
  maxQueuedRequests: whole(10_000, 'Requests in all queues.', { min: 1 }),
  maxQueuedBytes: bytes(256 * MiB, 'Bytes of request bodies in all queues.', { min: MiB }),
  maxQueuedPerModel: whole(1000, 'Requests in the queue of one model.', { min: 1 }),
  maxLoadWaiters: whole(5000, 'Requests that wait for models to load.', { min: 1 }),
  aheadMs: milliseconds(2, 'Expected run time that is handed to a worker ahead of the end of its current run.', {
    max: 1000,
  }),
  roomWaitMs: milliseconds(
    2000,
    'How long a load waits for models that are in use, or too recent to be evicted though it is their turn, before it is refused.',
  ),
  loads: whole(4, 'Models being loaded at the same time.', { min: 1, max: 256 }),
  tenantWeights: weights(
    'Share of a tenant (the first part of model names) when workers are short; 1 for those not named.',
    'tenant',
    nameProblem,
  ),
})

const telemetry = section('Logs and metrics.', {
  logLevel: oneOf(
    ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
    'info',
    'Least severe level that is logged.',
  ),
  logFormat: oneOf(['json', 'text'], 'json', 'json: one object a line; text: for people.'),
  requestLogSample: decimal(1, 'Share of successful requests that are logged; failed ones always are.', { max: 1 }),
  metrics: flag(true, 'Serve GET /metrics.'),
  perModelMetrics: whole(
    0,
    'Models that have metrics of their own, by name; the others share one label. 0 = none: whoever may scrape would learn which models exist.',
    { max: 10_000 },
  ),
  overview: oneOf(
    ['loopback', 'off'],
    'loopback',
    'Who may ask for /admin/overview and /admin/events: clients of this machine, or nobody. Say off behind a proxy on the same machine.',
  ),
  traces: group('Traces, exported in the OpenTelemetry protocol (OTLP over HTTP, protobuf).', {
    endpoint: checkedTextOrNull(
      'URL of the collector, like http://127.0.0.1:4318/v1/traces; null = no traces.',
      'an http or https URL without a password',
      urlProblem,
    ),
    sample: decimal(
      0.1,
      "Share of the traces that begin here and are exported; a caller's traceparent decides for its own.",
      { max: 1 },
    ),
    timeoutMs: milliseconds(10_000, 'Time a collector has to take a batch, repeats included.', { min: 100 }),
    maxQueued: whole(4096, 'Spans that wait for the collector; what comes beyond is dropped and counted.', {
      min: 16,
      max: 1_000_000,
    }),
  }),
  journalBytes: bytes(
    8 * MiB,
    'Disk space for the journal of loads, evictions, deaths and the like in the cache folder; 0 = in memory only.',
    { max: GiB },
  ),
})

export const configSchema = z.strictObject({
  server,
  store,
  model,
  cache,
  artifact,
  device,
  worker,
  quarantine,
  scheduler,
  telemetry,
})

/** Deeply frozen; every field present, sizes in bytes. */
export type Config = DeepReadonly<z.output<typeof configSchema>>

type DeepReadonly<T> = T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T

function section<T extends z.ZodRawShape>(description: string, fields: T) {
  return group(description, fields)
}
