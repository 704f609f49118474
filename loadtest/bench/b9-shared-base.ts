/**
 * B9: how many fine-tunes of one base fit. 200 ResNet-50 that share all but their last layer, and 200 encoders that share all but
 * low-rank matrices, resident at once in a memory budget that as many models of their own would not fit. Beside them, one after the
 * other on the same machine: as many models that share nothing as fit, through the same server, and plain sessions of ONNX Runtime;
 * both by the model, from what was measured of 20.
 */
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../../src/lib/clock.ts'
import { inferBody } from '../generator/infer-request.ts'
import { readTreeUsage } from '../measure/process-tree.ts'
import {
  type Family,
  type ModelClass,
  modelClass,
  modelName,
  type NamedTensor,
  Rng,
  writeFolder,
} from '../models/index.ts'
import type { BenchFindings } from '../report/bench-result.ts'
import { progressBar } from '../report/progress-line.ts'
import { type FamilyRun, findings, type PlainRun, type Subject } from './b9-findings.ts'
import { type Bench, type BenchContext, chosenClasses, scaled } from './bench.ts'
import { EngineAnswers } from './engine-answers.ts'
import { EngineProcess } from './engine-process.ts'
import { cacheFolder, modelsFolder, type RunningServer, withServer } from './running-server.ts'

const SEED = 9
const SHARED = 200
/** What shares nothing is measured at so many and counted by the model. */
const ALONE = 20
const SHARED_FAMILY = { R: 'head', M: 'lora' } as const
type SharedClass = keyof typeof SHARED_FAMILY
/** 200 of R would take 21 GB alone, 200 of M 19 GB. */
const MEMORY_BYTES = 6 * 2 ** 30
/** Answers held against ONNX Runtime's own, which takes a third of a second each. */
const CHECKED = 40
const PREFIX = 'base'

/** Everything is measured once: repetitions are the models. */
export const sharedBase: Bench = {
  name: 'B9',
  question: 'how many fine-tunes of one base fit?',
  minutes: 14,
  reps: 1,
  run,
}

interface Scene {
  readonly className: SharedClass
  readonly zooClass: ModelClass
  readonly inputs: readonly NamedTensor[]
  readonly engine: EngineProcess
}

async function run(context: BenchContext): Promise<BenchFindings> {
  const subjects: Subject[] = []
  for (const className of chosenClasses(context, ['R', 'M'])) {
    const zooClass = modelClass(className)
    const inputs = zooClass.sampleInputs(new Rng('shared base', className, SEED), 1)
    const engine = new EngineProcess()
    const scene = { className, zooClass, inputs, engine }
    try {
      const alone = scaled(context, ALONE, 3)
      const full = await runFamily(context, scene, 'full', alone)
      const plain = await runPlain(context, scene, alone)
      await rm(context.folder, { recursive: true, force: true })
      const shared = await runFamily(context, scene, SHARED_FAMILY[className], scaled(context, SHARED, 6))
      subjects.push({ className, shared, full, plain })
    } finally {
      engine.close()
      // Gigabytes, and quickly made again.
      await rm(context.folder, { recursive: true, force: true })
    }
  }
  return findings(subjects, MEMORY_BYTES)
}

async function runFamily(context: BenchContext, scene: Scene, family: Family, count: number): Promise<FamilyRun> {
  const { folder, signal } = context
  const { className, zooClass } = scene
  const set = { family, seed: SEED, customers: count, prefix: PREFIX, model: 'm' } as const
  const label = `${className}/${family}`
  await writeFolder(modelsFolder(folder), zooClass, set, ({ done, total }) =>
    context.progress(`${label}: writing ${total} models ${progressBar(done, total)}`),
  )
  const names = Array.from({ length: count }, (_, i) => modelName(i + 1, set))
  const setup = { folder, awaits: names.at(-1) ?? '', args: ['--memory', String(MEMORY_BYTES)], signal }
  const body = inferBody(scene.inputs, 'binary')
  const startedAt = systemClock.now()
  const touchMs = await withServer(setup, async ({ probe, server }) => {
    for (const [i, name] of names.entries()) {
      signal.throwIfAborted()
      context.progress(`${label}: first touches ${progressBar(i, count)}`)
      await probe.infer(name, body)
    }
    const ms = (systemClock.now() - startedAt) / count
    await probe.awaitQuiet(server.pid, signal)
    return ms
  })
  // A server that has compiled nothing itself: what it holds then is what resident models cost, and each load is one without a compile.
  return withServer({ ...setup, keepsCache: true }, async (running) => ({
    ...(await measureResident(context, scene, running, names, label)),
    family,
    touchMs,
  }))
}

async function measureResident(
  context: BenchContext,
  { zooClass, inputs, engine }: Scene,
  { server, probe }: RunningServer,
  names: readonly string[],
  label: string,
): Promise<Omit<FamilyRun, 'family' | 'touchMs'>> {
  const body = inferBody(inputs, 'binary')
  const answers = new EngineAnswers(engine, modelsFolder(context.folder))
  const problems: string[] = []
  const loadMs: number[] = []
  const stride = Math.max(1, Math.floor(names.length / CHECKED))
  const empty = await readTreeUsage(server.pid)
  for (const what of ['loads', 'answers'] as const) {
    for (const [i, name] of names.entries()) {
      context.signal.throwIfAborted()
      context.progress(`${label}: ${what} ${progressBar(i, names.length)}`)
      const { phases, outputs } = await probe.infer(name, body)
      if (what === 'loads') loadMs.push((phases.page ?? 0) + (phases.open ?? 0))
      else if (i % stride === 0) {
        const problem = await answers.problem(name, zooClass, inputs, outputs)
        if (problem !== undefined) problems.push(`${label}: ${problem}`)
      }
    }
  }
  await probe.awaitQuiet(server.pid, context.signal)
  const metrics = await probe.metrics()
  const usage = await readTreeUsage(server.pid)
  return {
    models: names.length,
    resident: metrics.sum('modelmux_models_resident'),
    checked: Math.ceil(names.length / stride),
    pssBytes: usage.pssBytes - empty.pssBytes,
    privateBytes: usage.privateBytes - empty.privateBytes,
    ledgerBytes: metrics.sum('modelmux_ledger_bytes'),
    sourceBytes: await bytesBelow(modelsFolder(context.folder)),
    diskBytes: await bytesBelow(cacheFolder(context.folder)),
    loadMs,
    problems,
  }
}

/** As many sessions as a program would hold that embeds ONNX Runtime, in a process of their own. */
async function runPlain(context: BenchContext, { className, inputs }: Scene, count: number): Promise<PlainRun> {
  const set = { prefix: PREFIX, model: 'm' } as const
  const engine = new EngineProcess()
  try {
    const first = await engine.hold(fileOf(context, modelName(1, set)), inputs)
    const before = await readTreeUsage(first.pid)
    const createMs: number[] = []
    for (let i = 2; i <= count; i += 1) {
      context.signal.throwIfAborted()
      context.progress(`${className}: plain sessions ${progressBar(i - 1, count)}`)
      createMs.push((await engine.hold(fileOf(context, modelName(i, set)), inputs)).createMs)
    }
    const after = await readTreeUsage(first.pid)
    return { sessions: count - 1, pssBytes: after.pssBytes - before.pssBytes, createMs }
  } finally {
    engine.close()
  }
}

function fileOf({ folder }: BenchContext, model: string): string {
  return join(modelsFolder(folder), model, '1', 'model.onnx')
}

async function bytesBelow(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  let bytes = 0
  for (const entry of entries) if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name))).size
  return bytes
}
