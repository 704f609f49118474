/**
 * B8: does memory grow, or an answer go wrong, over ten thousand loads? 200 models of all classes, one worker that is never recycled,
 * and memory for a small part of them: going round in a new random order each time, nearly every request loads its model and evicts
 * others. Each answer is held against ONNX Runtime's own. Memory is looked at while no model is open, or what happens to be open would
 * hide what is kept.
 */
import { rm } from 'node:fs/promises'
import { systemClock } from '../../src/lib/clock.ts'
import { type InferBody, inferBody } from '../generator/infer-request.ts'
import { readServerProcesses } from '../measure/server-processes.ts'
import {
  type ClassName,
  type ModelClass,
  modelClass,
  modelName,
  type NamedTensor,
  Rng,
  writeFolder,
} from '../models/index.ts'
import type { BenchFindings } from '../report/bench-result.ts'
import { progressBar } from '../report/progress-line.ts'
import { findings, type SoakRun, type SoakSample } from './b8-findings.ts'
import { type Bench, type BenchContext, scaled } from './bench.ts'
import { EngineAnswers } from './engine-answers.ts'
import { EngineProcess } from './engine-process.ts'
import { modelsFolder, type RunningServer, withServer } from './running-server.ts'

const SEED = 8
/** 200 in all; the big ones are few, or they would take all the time. */
const COUNTS: Readonly<Record<ClassName, number>> = { XS: 60, S: 40, L: 30, Q: 20, T: 20, M: 15, R: 15 }
const CYCLES = 10_000
const SAMPLES = 100
/** Three of the largest fit. */
const MEMORY = '384MiB'
const PREFIX = 'soak'

/** As many cycles as asked for and a sample each so often: repetitions of a soak are its cycles. */
export const soak: Bench = {
  name: 'B8',
  question: 'does memory grow over ten thousand loads?',
  minutes: 9,
  reps: 1,
  run,
}

interface Subject {
  readonly model: string
  readonly zooClass: ModelClass
  readonly inputs: readonly NamedTensor[]
  readonly body: InferBody
}

async function run(context: BenchContext): Promise<BenchFindings> {
  const { folder, signal } = context
  const subjects = await writeSubjects(context)
  const engine = new EngineProcess()
  const config = {
    worker: { recycleDriftBytes: 0 },
    cache: { minResidencyMs: 0 },
    // One line a request would be most of what this bench writes.
    telemetry: { requestLogSample: 0 },
  }
  const args = ['--workers', '1', '--memory', MEMORY]
  const awaits = subjects.at(-1)?.model ?? ''
  try {
    return await withServer({ folder, awaits, args, config, signal }, async (running) => {
      const answers = new EngineAnswers(engine, modelsFolder(folder))
      await compileAll(context, running, subjects, answers)
      return findings(await measure(context, running, subjects, answers))
    })
  } finally {
    engine.close()
    await rm(folder, { recursive: true, force: true })
  }
}

async function writeSubjects(context: BenchContext): Promise<Subject[]> {
  const classes = (Object.keys(COUNTS) as ClassName[]).filter((name) => context.classes?.includes(name) ?? true)
  const subjects: Subject[] = []
  for (const className of classes) {
    const zooClass = modelClass(className)
    const customers = scaled(context, COUNTS[className], 2)
    const set = { family: 'full', seed: SEED, customers, prefix: PREFIX, model: className.toLowerCase() } as const
    await writeFolder(modelsFolder(context.folder), zooClass, set, ({ done, total }) =>
      context.progress(`writing ${total} models of class ${className} ${progressBar(done, total)}`),
    )
    const inputs = zooClass.sampleInputs(new Rng('soak', className, SEED), 1)
    const body = inferBody(inputs, 'binary')
    for (let i = 1; i <= customers; i += 1) subjects.push({ model: modelName(i, set), zooClass, inputs, body })
  }
  return subjects
}

/** First touches, probes and the engine's own answers: what is measured afterwards is loads alone. */
async function compileAll(
  context: BenchContext,
  { server, probe }: RunningServer,
  subjects: readonly Subject[],
  answers: EngineAnswers,
): Promise<void> {
  for (const [i, { model, zooClass, inputs, body }] of subjects.entries()) {
    context.signal.throwIfAborted()
    context.progress(`first touches ${progressBar(i, subjects.length)}`)
    const { outputs } = await probe.infer(model, body)
    const problem = await answers.problem(model, zooClass, inputs, outputs)
    if (problem !== undefined) throw new Error(`before the soak: ${problem}`)
  }
  await probe.awaitQuiet(server.pid, context.signal)
}

async function measure(
  context: BenchContext,
  running: RunningServer,
  subjects: readonly Subject[],
  answers: EngineAnswers,
): Promise<SoakRun> {
  const { probe } = running
  const rng = new Rng('soak order', SEED)
  const cycles = scaled(context, CYCLES, subjects.length)
  const every = Math.max(1, Math.floor(cycles / SAMPLES))
  const samples: SoakSample[] = []
  const problems: string[] = []
  let loads = 0
  let order: Subject[] = []
  samples.push(await sampleEmpty(context, running, subjects, 0))
  const startedAt = systemClock.now()
  for (let cycle = 1; cycle <= cycles; cycle += 1) {
    context.signal.throwIfAborted()
    if (order.length === 0) order = shuffled(subjects, rng)
    const subject = order.pop()
    if (subject === undefined) throw new Error('there are no models')
    const { model, zooClass, inputs, body } = subject
    const { outputs, cache } = await probe.infer(model, body)
    if (cache !== 'hit') loads += 1
    const problem = await answers.problem(model, zooClass, inputs, outputs)
    if (problem !== undefined) problems.push(`cycle ${cycle}: ${problem}`)
    if (cycle % every === 0) {
      samples.push(await sampleEmpty(context, running, subjects, cycle))
      context.progress(`cycles ${progressBar(cycle, cycles)}`)
    }
  }
  const seconds = (systemClock.now() - startedAt) / 1000
  const metrics = await probe.metrics()
  const restarts = metrics.sum('modelmux_worker_restarts_total')
  const evictions = metrics.sum('modelmux_evictions_total')
  return { cycles, loads, evictions, restarts, seconds, models: subjects.length, samples, problems }
}

/** Memory with every model given back. */
async function sampleEmpty(
  { signal }: BenchContext,
  { probe, server }: RunningServer,
  subjects: readonly Subject[],
  cycle: number,
): Promise<SoakSample> {
  for (const { model } of subjects) {
    signal.throwIfAborted()
    await probe.unload(model)
  }
  return { cycle, processes: await readServerProcesses(server.pid) }
}

function shuffled<T>(list: readonly T[], rng: Rng): T[] {
  const keyed = list.map((item) => ({ item, at: rng.uint32() }))
  return keyed.toSorted((a, b) => a.at - b.at).map(({ item }) => item)
}
