/**
 * B3: what it costs to be many. Two servers on the same kind of models, one with thousands and one with ten, asked by turns; every model
 * touched once before. XS and T apart: T has nothing to map, so that how many stay in memory is another question. Ray Serve, where it is
 * asked for, gets the folder of the many XS, and a Zipf load over as many of them as it can be warmed up on in reasonable time.
 */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { generateLoad } from '../generator/load-generator.ts'
import type { LoadPlan, LoadReport, ModelGroup } from '../generator/plan.ts'
import { readTreeUsage, type TreeUsage } from '../measure/process-tree.ts'
import { type ClassName, modelClass, modelName, writeFolder } from '../models/index.ts'
import { besideRayServe, type PeerRun } from '../peers/beside.ts'
import type { BenchFindings } from '../report/bench-result.ts'
import { progressBar } from '../report/progress-line.ts'
import { type ClassRun, findings, SIDES, type Side } from './b3-findings.ts'
import { type Bench, type BenchContext, chosenClasses, scaled } from './bench.ts'
import type { HeapReport } from './heap-main.ts'
import { HttpProbe } from './http-probe.ts'
import { registryHeap } from './registry-heap.ts'
import { LoadSamples } from './samples.ts'
import { ServerProcess } from './server-process.ts'

const SEED = 3
const FEW = 10
const MANY: Readonly<Record<'XS' | 'T', number>> = { XS: 10_000, T: 2000 }
/** First touches measured one at a time; the others go through together, or it would take all day. */
const SINGLE_TOUCHES = 200
const TOUCH_CONNECTIONS = 8
/** What was not touched by then is touched by the traffic, and counts as its loads. */
const TOUCH_SECONDS = 600
const ZIPF_EXPONENT = 1.1
const CONNECTIONS = 32
const SCAN_LIMIT_MS = 120_000
/** Ray Serve opens some 80 XS models a second: all of the many would take minutes before anything is measured. */
const PEER_MODELS = 1000
/** What ONNX Runtime in Python keeps of an open XS model: 210 KiB measured. */
const PEER_BYTES_PER_MODEL = 256 * 1024

export const thousands: Bench = {
  name: 'B3',
  question: 'what does it cost to be many?',
  minutes: 15,
  reps: 5,
  run,
}

async function run(context: BenchContext): Promise<BenchFindings> {
  const runs: ClassRun[] = []
  let heap: HeapReport | undefined
  for (const className of chosenClasses(context, ['XS', 'T'])) {
    runs.push(await runClass(context, className))
    heap ??= await registryHeap(context.folder, modelsFolder(context, className, 'many'))
  }
  return findings(runs, heap)
}

async function runClass(context: BenchContext, className: 'XS' | 'T'): Promise<ClassRun> {
  const counts: Record<Side, number> = { few: FEW, many: scaled(context, MANY[className], 2 * FEW) }
  for (const side of SIDES) {
    const set = { family: 'full', seed: SEED, customers: counts[side] } as const
    await writeFolder(modelsFolder(context, className, side), modelClass(className), set, ({ done, total }) =>
      context.progress(`${className}: writing ${total} models ${progressBar(done, total)}`),
    )
  }
  const servers: Partial<Record<Side, ServerProcess>> = {}
  try {
    for (const side of SIDES) {
      context.progress(`${className}: starting the server with ${counts[side]} models`)
      servers[side] = await startServer(context, className, side, counts[side])
    }
    const { few, many } = servers
    if (few === undefined || many === undefined) throw new Error('unreachable: both servers were started')
    return await measure(context, className, counts, { few, many })
  } finally {
    await Promise.all(Object.values(servers).map((server) => server.stop()))
    for (const side of SIDES) await rm(cacheFolder(context, className, side), { recursive: true, force: true })
  }
}

async function startServer(
  context: BenchContext,
  className: ClassName,
  side: Side,
  customers: number,
): Promise<ServerProcess> {
  await rm(cacheFolder(context, className, side), { recursive: true, force: true })
  const args = ['--models', modelsFolder(context, className, side), '--cache', cacheFolder(context, className, side)]
  const server = await ServerProcess.serve({ args })
  const probe = new HttpProbe(server.target)
  try {
    await probe.awaitReady(modelName(customers), SCAN_LIMIT_MS, context.signal)
  } finally {
    probe.close()
  }
  return server
}

async function measure(
  context: BenchContext,
  className: ClassName,
  counts: Readonly<Record<Side, number>>,
  servers: Readonly<Record<Side, ServerProcess>>,
): Promise<ClassRun> {
  const samples = new LoadSamples()
  const group = (customers: number, firstCustomer = 1): ModelGroup => {
    return { className, family: 'full', seed: SEED, customers, firstCustomer }
  }
  const touch = (side: Side, groups: readonly ModelGroup[], connections: number, what: string): Promise<LoadReport> => {
    let done = 0
    const total = groups.reduce((sum, { customers }) => sum + customers, 0)
    const plan = touchPlan(servers[side], groups, connections)
    return generateLoad(plan, {
      signal: context.signal,
      onProgress: ({ answered }) => {
        done += answered
        context.progress(`${className}: ${what} ${progressBar(done, total)}`)
      },
    })
  }

  await touch('few', [group(counts.few)], 1, 'warming up')
  const singles = Math.min(SINGLE_TOUCHES, Math.floor(counts.many / 2))
  const firstTouch = await touch('many', [group(singles)], 1, 'first touches, one at a time')
  // The second time round they are open, so this is what remains of a touch when there is nothing to load.
  const again = await touch('many', [group(singles)], 1, 'second touches')
  const rest = await touch('many', [group(counts.many - singles, singles + 1)], TOUCH_CONNECTIONS, 'first touches')
  samples.add('first touch', firstTouch)
  samples.add('second touch', again)
  samples.add('remaining touches', rest)

  for (let rep = 1; rep <= context.reps; rep += 1) {
    for (const side of SIDES) {
      context.progress(`${className}: repetition ${rep} of ${context.reps}, ${counts[side]} models`)
      context.signal.throwIfAborted()
      samples.add(side, await generateLoad(zipfPlan(context, servers[side], group(counts[side])), context))
    }
  }
  const usage = {} as Record<Side, TreeUsage>
  const metrics = {} as ClassRun['metrics']
  for (const side of SIDES) {
    usage[side] = await readTreeUsage(servers[side].pid)
    const probe = new HttpProbe(servers[side].target)
    metrics[side] = await probe.metrics()
    probe.close()
  }
  const peer = className === 'XS' ? await besidePeer(context, servers.many, group(counts.many)) : undefined
  return { className, counts, samples, usage, metrics, peer }
}

/** The same Zipf load over the first of the many, each touched once before; the folder has them all. */
function besidePeer(context: BenchContext, many: ServerProcess, { customers, ...all }: ModelGroup): Promise<PeerRun> {
  const group = { ...all, customers: Math.min(customers, PEER_MODELS) }
  return besideRayServe(context, {
    models: modelsFolder(context, group.className, 'many'),
    wanted: group.customers,
    bytesPerModel: PEER_BYTES_PER_MODEL,
    warmUps: [touchPlan(many, [group], TOUCH_CONNECTIONS)],
    loads: [
      {
        name: `${group.className}, ${group.customers} models`,
        cells: [group.className, customers, group.customers],
        plan: zipfPlan(context, many, group),
      },
    ],
  })
}

function touchPlan(server: ServerProcess, groups: readonly ModelGroup[], connections: number): LoadPlan {
  return {
    target: server.target,
    groups,
    encoding: 'json',
    rows: 1,
    inputsPerModel: 1,
    popularity: { kind: 'once' },
    pace: { kind: 'closed', connections },
    seed: SEED,
    warmUpSeconds: 0,
    seconds: TOUCH_SECONDS,
    maxRequests: Number.MAX_SAFE_INTEGER,
    timeoutMs: 30_000,
    check: 'all',
    serverPid: server.pid,
    progressMs: 500,
  }
}

function zipfPlan({ isQuick }: BenchContext, server: ServerProcess, group: ModelGroup): LoadPlan {
  const seconds = isQuick ? 1 : 8
  return {
    ...touchPlan(server, [group], CONNECTIONS),
    popularity: { kind: 'zipf', exponent: ZIPF_EXPONENT },
    warmUpSeconds: seconds / 4,
    seconds,
    progressMs: 0,
  }
}

function modelsFolder({ folder }: BenchContext, className: ClassName, side: Side): string {
  return join(folder, className, side, 'models')
}

function cacheFolder({ folder }: BenchContext, className: ClassName, side: Side): string {
  return join(folder, className, side, 'cache')
}
