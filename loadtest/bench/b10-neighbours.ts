/**
 * B10: what one customer can do to the others. 40 tenants of ten models each. 38 of them ask at a steady mean rate in bursts; one floods
 * with five times as many requests as all of them together; one sends only bombs and bad inputs. By turns the 38 are alone, beside one
 * of these, and beside both.
 */
import { rm } from 'node:fs/promises'
import { generateLoad } from '../generator/load-generator.ts'
import type { LoadPlan, LoadReport, ModelGroup } from '../generator/plan.ts'
import { readTreeUsage } from '../measure/process-tree.ts'
import { rotated } from '../measure/statistics.ts'
import { type ClassName, modelClass, writeFolder } from '../models/index.ts'
import type { BenchFindings } from '../report/bench-result.ts'
import { progressBar } from '../report/progress-line.ts'
import { findings, type NeighbourRun, SIDES } from './b10-findings.ts'
import { type Bench, type BenchContext, scaled } from './bench.ts'
import { bombsIn, type HostileTally, hostileTraffic, writeHostileModels } from './hostile-tenant.ts'
import { modelsFolder, type RunningServer, withServer } from './running-server.ts'
import { LoadSamples } from './samples.ts'
import { together } from './together.ts'

const SEED = 10
const QUIET_TENANTS = 38
const CLASSES: readonly ClassName[] = ['XS', 'XS', 'XS', 'XS', 'XS', 'XS', 'XS', 'XS', 'S', 'L']
/** Requests per second of all the quiet tenants together. */
const QUIET_RPS = 200
const FLOOD_FACTOR = 5
const TOUCH_CONNECTIONS = 8
/** Shorter than shipped, so that several bombs go off in a stretch and none of them takes this machine's memory. */
const LIMITS = {
  worker: { hangMs: 2000, memoryBytes: '2GiB' },
  artifact: { compileDeadlineMs: 10_000 },
}

export const neighbours: Bench = {
  name: 'B10',
  question: 'what can one customer do to the others?',
  minutes: 8,
  reps: 5,
  run,
}

async function run(context: BenchContext): Promise<BenchFindings> {
  const { folder, signal } = context
  const tenants = scaled(context, QUIET_TENANTS, 4)
  const { warmUp, measured } = stretchSeconds(context)
  const models = modelsFolder(folder)
  const groups = { quiet: groupsOf('quiet', tenants), flood: groupsOf('flood', 1) }
  for (const group of [...groups.quiet, ...groups.flood]) {
    const { className, ...set } = group
    await writeFolder(models, modelClass(className), set, ({ done, total }) =>
      context.progress(`writing ${group.model} of ${total} tenants ${progressBar(done, total)}`),
    )
  }
  const stretches = context.reps * SIDES.length
  // Two sides of a repetition are beside the hostile tenant.
  const bombs = bombsIn(warmUp + measured) * context.reps * 2
  const awaits = await writeHostileModels(models, bombs, stretches)
  try {
    return await withServer({ folder, awaits, config: LIMITS, signal }, async (running) => {
      await warmUpAll(context, running, groups)
      return findings(await measure(context, running, groups, tenants))
    })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

type Groups = Readonly<Record<'quiet' | 'flood', readonly ModelGroup[]>>

/** Ten models for each tenant: `<prefix>-0001/m0` to `m9`. */
function groupsOf(prefix: string, tenants: number): ModelGroup[] {
  return CLASSES.map((className, i) => ({
    className,
    family: 'full',
    // Groups of a class differ by their seed, or their models would be copies.
    seed: SEED + i,
    customers: tenants,
    prefix,
    model: `m${i}`,
  }))
}

function stretchSeconds({ isQuick }: BenchContext): { warmUp: number; measured: number } {
  return isQuick ? { warmUp: 0.5, measured: 2 } : { warmUp: 2, measured: 20 }
}

/** All good models compiled, probed and open: what is compared is not who was there first. */
async function warmUpAll(context: BenchContext, running: RunningServer, groups: Groups): Promise<void> {
  const { server, probe } = running
  for (const name of ['quiet', 'flood'] as const) {
    context.progress(`first touches of the ${name} tenants`)
    const touch: LoadPlan = {
      ...planOf(context, running, groups[name], 0),
      popularity: { kind: 'once' },
      pace: { kind: 'closed', connections: TOUCH_CONNECTIONS },
      warmUpSeconds: 0,
      seconds: 300,
      check: 'status',
    }
    await generateLoad(touch, { signal: context.signal })
    await probe.awaitQuiet(server.pid, context.signal)
    await generateLoad(touch, { signal: context.signal })
  }
  await probe.awaitQuiet(server.pid, context.signal)
}

async function measure(
  context: BenchContext,
  running: RunningServer,
  groups: Groups,
  tenants: number,
): Promise<NeighbourRun> {
  const { server, probe } = running
  const samples = new LoadSamples()
  const floods: LoadReport[] = []
  const hostile: HostileTally = new Map()
  let sent = 0
  let stretch = 0
  for (let rep = 1; rep <= context.reps; rep += 1) {
    for (const side of rotated(SIDES, rep)) {
      context.progress(`repetition ${rep} of ${context.reps}: ${side}`)
      context.signal.throwIfAborted()
      stretch += 1
      const quiet = planOf(context, running, groups.quiet, rep)
      const flood = floodPlan(planOf(context, running, groups.flood, rep))
      const plans: Readonly<Record<string, LoadPlan>> =
        side === 'flood' || side === 'both' ? { quiet, flood } : { quiet }
      const reports = await together(plans, context.signal, async (stopped) => {
        if (side !== 'hostile' && side !== 'both') return
        sent = await hostileTraffic(server.target, { firstBomb: sent, stretch }, stopped, hostile)
      })
      if (reports.quiet !== undefined) samples.add(side, reports.quiet)
      if (reports.flood !== undefined) floods.push(reports.flood)
      await probe.awaitQuiet(server.pid, context.signal)
    }
  }
  const [usage, metrics] = [await readTreeUsage(server.pid), await probe.metrics()]
  const counts = { tenants, models: tenants * CLASSES.length }
  return { samples, floods, hostile, bombs: sent, counts, usage, metrics }
}

/** The same arrivals alone and beside. */
function planOf(
  context: BenchContext,
  { server }: RunningServer,
  groups: readonly ModelGroup[],
  rep: number,
): LoadPlan {
  const { warmUp, measured } = stretchSeconds(context)
  return {
    target: server.target,
    groups,
    encoding: 'binary',
    rows: 1,
    inputsPerModel: 1,
    popularity: { kind: 'uniform' },
    pace: { kind: 'open', rps: QUIET_RPS, arrivals: 'bursty', connections: 512 },
    seed: SEED + rep,
    warmUpSeconds: warmUp,
    seconds: measured,
    maxRequests: Number.MAX_SAFE_INTEGER,
    timeoutMs: 30_000,
    check: 'all',
    serverPid: server.pid,
    progressMs: 0,
  }
}

/** A flood is refused where its queue is full, which is right; it is held to nothing but right answers. */
function floodPlan(plan: LoadPlan): LoadPlan {
  return { ...plan, pace: { kind: 'open', rps: QUIET_RPS * FLOOD_FACTOR, arrivals: 'poisson', connections: 512 } }
}
