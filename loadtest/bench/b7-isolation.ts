/**
 * B7: does a load hurt its neighbours? Two hot models are asked at fixed rates, one small, one heavier. By turns nothing else happens, or
 * every second a compiled ResNet-50 is opened, run and given back, or every five seconds one that was never seen is compiled, or every
 * second a never-seen MLP of 5 MB whose file is not in the page cache.
 */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../../src/lib/clock.ts'
import { inferBody } from '../generator/infer-request.ts'
import { generateLoad } from '../generator/load-generator.ts'
import type { LoadPlan } from '../generator/plan.ts'
import { dropPages } from '../measure/page-cache.ts'
import { readTreeUsage } from '../measure/process-tree.ts'
import { rotated } from '../measure/statistics.ts'
import {
  type ClassName,
  type ModelClass,
  type ModelSet,
  modelClass,
  modelName,
  type NamedTensor,
  Rng,
  writeFolder,
} from '../models/index.ts'
import type { BenchFindings } from '../report/bench-result.ts'
import { progressBar } from '../report/progress-line.ts'
import {
  type BesideAnswer,
  findings,
  HOT,
  type Hot,
  type IsolationRun,
  keyOf,
  SIDES,
  type Side,
} from './b7-findings.ts'
import type { Bench, BenchContext } from './bench.ts'
import { EngineAnswers } from './engine-answers.ts'
import { EngineProcess } from './engine-process.ts'
import { HttpProbe, probedAnswer } from './http-probe.ts'
import { modelsFolder, type RunningServer, withServer } from './running-server.ts'
import { LoadSamples } from './samples.ts'
import { actEvery, together } from './together.ts'

const SEED = 7
const RATES: Readonly<Record<Hot, number>> = { XS: 200, Q: 20 }
/** Compiled before anything is measured, and opened again and again. */
const CACHED_MODELS = 4

interface Disturbance {
  readonly className: ClassName
  readonly everyMs: number
  readonly prefix: string
}

const DISTURBANCES: Readonly<Record<Exclude<Side, 'alone'>, Disturbance>> = {
  'cached R': { className: 'R', everyMs: 1000, prefix: 'cached' },
  'new R': { className: 'R', everyMs: 5000, prefix: 'new' },
  'new S': { className: 'S', everyMs: 1000, prefix: 'new' },
}

interface Guest extends Disturbance {
  readonly zooClass: ModelClass
  readonly inputs: readonly NamedTensor[]
  readonly customers: number
}

export const isolation: Bench = { name: 'B7', question: 'does a load hurt a neighbour?', minutes: 10, reps: 10, run }

async function run(context: BenchContext): Promise<BenchFindings> {
  const { folder, signal } = context
  const guests = guestsOf(context)
  const engine = new EngineProcess()
  try {
    await writeModels(context, guests)
    const answers = new EngineAnswers(engine, modelsFolder(folder))
    const awaits = nameOf(guests['new S'], guests['new S'].customers - 1)
    return await withServer({ folder, awaits, signal }, async (running) => {
      await warmUp(context, running, guests['cached R'])
      return findings(await measure(context, running, guests, answers))
    })
  } finally {
    engine.close()
    // The never-seen ones are gigabytes, and are quickly made again.
    await rm(folder, { recursive: true, force: true })
  }
}

function stretchSeconds({ isQuick }: BenchContext): { warmUp: number; measured: number } {
  return isQuick ? { warmUp: 0.5, measured: 2 } : { warmUp: 2, measured: 10 }
}

function guestsOf(context: BenchContext): Record<keyof typeof DISTURBANCES, Guest> {
  const { warmUp, measured } = stretchSeconds(context)
  // One at once, and one per interval.
  const perStretch = ({ everyMs }: Disturbance) => Math.ceil(((warmUp + measured) * 1000) / everyMs) + 1
  const guest = (side: keyof typeof DISTURBANCES): Guest => {
    const disturbance = DISTURBANCES[side]
    const zooClass = modelClass(disturbance.className)
    const inputs = zooClass.sampleInputs(new Rng('isolation', disturbance.className, SEED), 1)
    const customers = side === 'cached R' ? CACHED_MODELS : perStretch(disturbance) * context.reps
    return { ...disturbance, zooClass, inputs, customers }
  }
  return { 'cached R': guest('cached R'), 'new R': guest('new R'), 'new S': guest('new S') }
}

async function writeModels(context: BenchContext, guests: Readonly<Record<string, Guest>>): Promise<void> {
  const write = (zooClass: ModelClass, set: Omit<ModelSet, 'family' | 'seed'>) =>
    writeFolder(modelsFolder(context.folder), zooClass, { family: 'full', seed: SEED, ...set }, ({ done, total }) =>
      context.progress(`writing ${total} models of class ${zooClass.name} ${progressBar(done, total)}`),
    )
  for (const hot of HOT) await write(modelClass(hot), { customers: 1, prefix: 'hot', model: hot.toLowerCase() })
  for (const { zooClass, customers, prefix, className } of Object.values(guests)) {
    await write(zooClass, { customers, prefix, model: className.toLowerCase() })
  }
}

/** Everything that is not never seen is compiled and probed, and each worker has had it once. */
async function warmUp(context: BenchContext, running: RunningServer, cached: Guest): Promise<void> {
  const { probe, server } = running
  context.progress('warming up')
  const body = inferBody(cached.inputs, 'binary')
  for (let turn = 0; turn < 2; turn += 1) {
    for (let i = 0; i < cached.customers; i += 1) {
      await probe.infer(nameOf(cached, i), body)
      await probe.awaitQuiet(server.pid, context.signal)
      await probe.unload(nameOf(cached, i))
    }
  }
  for (const hot of HOT) await generateLoad({ ...hotPlan(context, running, hot, 0), warmUpSeconds: 0, seconds: 2 })
  await probe.awaitQuiet(server.pid, context.signal)
}

async function measure(
  context: BenchContext,
  running: RunningServer,
  guests: Readonly<Record<keyof typeof DISTURBANCES, Guest>>,
  answers: EngineAnswers,
): Promise<IsolationRun> {
  const { server, probe } = running
  const samples = new LoadSamples()
  const beside: BesideAnswer[] = []
  const problems: string[] = []
  const seen: Record<string, number> = {}
  for (let rep = 1; rep <= context.reps; rep += 1) {
    for (const side of rotated(SIDES, rep)) {
      context.progress(`repetition ${rep} of ${context.reps}: ${side}`)
      context.signal.throwIfAborted()
      const plans = { XS: hotPlan(context, running, 'XS', rep), Q: hotPlan(context, running, 'Q', rep) }
      const asked: { model: string; answer: BesideAnswer }[] = []
      const guest = side === 'alone' ? undefined : guests[side]
      if (side === 'new S') await dropPages(unseenFiles(context, guests[side], seen[side] ?? 0))
      const reports = await together(plans, context.signal, async (stopped) => {
        if (guest === undefined || side === 'alone') return
        await actEvery(systemClock, guest.everyMs, stopped, async () => {
          const next = seen[side] ?? 0
          seen[side] = next + 1
          const model = nameOf(guest, side === 'cached R' ? next % guest.customers : next)
          asked.push({ model, answer: { side, ...(await disturb(running, guest, model, side)) } })
        })
      })
      for (const hot of HOT) samples.add(keyOf(side, hot), reports[hot])
      for (const { model, answer } of asked) {
        beside.push(answer)
        if (guest === undefined) continue
        const problem = await answers.problem(model, guest.zooClass, guest.inputs, answer.outputs)
        if (problem !== undefined) problems.push(`${side}: ${problem}`)
      }
      await probe.awaitQuiet(server.pid, context.signal)
    }
  }
  return { samples, beside, problems, usage: await readTreeUsage(server.pid), metrics: await probe.metrics() }
}

/** One load beside the hot traffic; a compiled model's memory is given back after its answer, so that the next time opens it again. */
async function disturb(
  { server }: RunningServer,
  guest: Guest,
  model: string,
  side: Side,
): Promise<Omit<BesideAnswer, 'side'>> {
  const probe = new HttpProbe(server.target)
  try {
    const answer = probedAnswer(model, await probe.tryInfer(model, inferBody(guest.inputs, 'binary')))
    if (side === 'cached R') await probe.unload(model)
    return answer
  } finally {
    probe.close()
  }
}

/** Files of the models that a stretch may ask for, the first of them `from`. */
function unseenFiles({ folder, reps }: BenchContext, guest: Guest, from: number): string[] {
  const count = Math.min(guest.customers - from, Math.ceil(guest.customers / reps))
  return Array.from({ length: count }, (_, i) => join(modelsFolder(folder), nameOf(guest, from + i), '1', 'model.onnx'))
}

/** The same arrivals on every side of a repetition. */
function hotPlan(context: BenchContext, { server }: RunningServer, hot: Hot, rep: number): LoadPlan {
  const { warmUp, measured } = stretchSeconds(context)
  return {
    target: server.target,
    groups: [{ className: hot, family: 'full', seed: SEED, customers: 1, prefix: 'hot', model: hot.toLowerCase() }],
    encoding: 'binary',
    rows: 1,
    inputsPerModel: 4,
    popularity: { kind: 'uniform' },
    pace: { kind: 'open', rps: RATES[hot], arrivals: 'poisson', connections: 64 },
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

/** `index`: 0 for the first. */
function nameOf({ prefix, className }: Disturbance, index: number): string {
  return modelName(index + 1, { prefix, model: className.toLowerCase() })
}
