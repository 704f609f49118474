/**
 * B6: where the time of a cold start goes, by class of model and by how far away its bytes are.
 *
 *   first touch    never seen: digest, walk, compile, check, open, run; source in the page cache, or dropped from it
 *   pages dropped  artifact on disk, none of its pages in memory
 *   cached         artifact on disk, its pages in memory
 *
 * Beside each stands ONNX Runtime's own `create` and first run on the same file, in a fresh process and in one that has done it before;
 * its outputs are what our answers are held against. Every repetition is another customer's model.
 */
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { answerProblem } from '../generator/infer-answer.ts'
import { type InferBody, inferBody } from '../generator/infer-request.ts'
import { cachedBytes, dropPages } from '../measure/page-cache.ts'
import { type ClassName, modelClass, modelName, type NamedTensor, Rng, writeFolder } from '../models/index.ts'
import type { BenchFindings } from '../report/bench-result.ts'
import { type ClassStarts, findings, type OurStart } from './b6-findings.ts'
import { type Bench, type BenchContext, chosenClasses } from './bench.ts'
import { EngineProcess, type PlainReport, plainInFreshProcess } from './engine-process.ts'
import { HttpProbe } from './http-probe.ts'
import { ServerProcess } from './server-process.ts'

const CLASSES: readonly ClassName[] = ['S', 'M', 'Q', 'R', 'L', 'T']
const QUICK_CLASSES: readonly ClassName[] = ['S', 'T']
const SEED = 6
const SCAN_LIMIT_MS = 60_000
const DROP_ATTEMPTS = 5
/** A model that another customer's repetitions never touch: it warms code paths up. */
const WARM_UP_CUSTOMER = 1

export const coldStart: Bench = {
  name: 'B6',
  question: 'where does the time of a cold start go?',
  minutes: 15,
  reps: 30,
  run,
}

interface Scene {
  readonly className: ClassName
  readonly server: ServerProcess
  readonly probe: HttpProbe
  readonly warmEngine: EngineProcess
  readonly modelsFolder: string
  readonly cacheFolder: string
  readonly inputs: readonly NamedTensor[]
  readonly body: InferBody
  readonly signal: AbortSignal
}

async function run(context: BenchContext): Promise<BenchFindings> {
  const all: ClassStarts[] = []
  const classes = context.isQuick && context.classes === undefined ? QUICK_CLASSES : CLASSES
  for (const className of chosenClasses(context, classes)) {
    context.signal.throwIfAborted()
    all.push(await runClass(context, className))
  }
  return findings(all)
}

async function runClass(context: BenchContext, className: ClassName): Promise<ClassStarts> {
  const modelsFolder = join(context.folder, className, 'models')
  const cacheFolder = join(context.folder, className, 'cache')
  const zooClass = modelClass(className)
  await rm(join(context.folder, className), { recursive: true, force: true })
  const customers = context.reps + WARM_UP_CUSTOMER
  await writeFolder(modelsFolder, zooClass, { family: 'full', seed: SEED, customers }, ({ done, total }) =>
    context.progress(`${className}: writing model ${done} of ${total}`),
  )
  const inputs = zooClass.sampleInputs(new Rng('cold start', className, SEED), 1)
  const server = await ServerProcess.serve({ args: ['--models', modelsFolder, '--cache', cacheFolder] })
  const warmEngine = new EngineProcess()
  const probe = new HttpProbe(server.target)
  const starts: ClassStarts = { className, tolerance: zooClass.tolerance, ours: [], plain: [], problems: [] }
  try {
    const body = inferBody(inputs, 'binary')
    const scene: Scene = {
      className,
      server,
      probe,
      warmEngine,
      modelsFolder,
      cacheFolder,
      inputs,
      body,
      signal: context.signal,
    }
    await warmUp(scene)
    for (let rep = 1; rep <= context.reps; rep += 1) {
      context.progress(`${className}: repetition ${rep} of ${context.reps}`)
      context.signal.throwIfAborted()
      await measureCustomer(scene, WARM_UP_CUSTOMER + rep, rep % 2 === 0, starts)
    }
    return starts
  } finally {
    probe.close()
    warmEngine.close()
    await server.stop()
    // Thirty customers of the big classes are gigabytes, and are quickly made again.
    await rm(join(context.folder, className), { recursive: true, force: true })
  }
}

/** The first session of any process is slower than every later one; so is the first compile. */
async function warmUp({ probe, server, warmEngine, modelsFolder, inputs, body, signal }: Scene): Promise<void> {
  const model = modelName(WARM_UP_CUSTOMER)
  await probe.awaitReady(model, SCAN_LIMIT_MS, signal)
  await warmEngine.plain(fileOf(modelsFolder, WARM_UP_CUSTOMER), inputs)
  // Twice, so that each worker has had its turn where homes are spread.
  for (let turn = 0; turn < 2; turn += 1) {
    await probe.infer(model, body)
    await probe.awaitQuiet(server.pid, signal)
    await probe.unload(model)
  }
}

/** All states of one customer's model, in the one order in which each can be reached; `isFar`: the source is not in memory at first. */
async function measureCustomer(scene: Scene, customer: number, isFar: boolean, starts: ClassStarts): Promise<void> {
  const { probe, server, warmEngine, inputs, signal } = scene
  const file = fileOf(scene.modelsFolder, customer)
  await probe.awaitReady(modelName(customer), SCAN_LIMIT_MS, signal)
  const artifactsBefore = new Set(await filesBelow(scene.cacheFolder))
  const expected: PlainReport[] = []
  const plain = async (kind: 'fresh' | 'warm' | 'fresh, source dropped'): Promise<void> => {
    if (kind === 'fresh, source dropped') await dropPages([file])
    const report = kind === 'warm' ? await warmEngine.plain(file, inputs) : await plainInFreshProcess(file, inputs)
    starts.plain.push({ kind, ...report })
    expected.push(report)
  }
  const ours = async (state: OurStart['state']): Promise<void> => {
    const answer = await probe.infer(modelName(customer), scene.body)
    starts.ours.push({ state, ...answer })
    await probe.awaitQuiet(server.pid, signal)
    await probe.unload(modelName(customer))
  }

  if (isFar) await plain('fresh, source dropped')
  else await plain('fresh')
  if (isFar) await dropPages([file])
  await ours(isFar ? 'first touch, source dropped' : 'first touch')
  await plain('warm')
  await ours('cached')
  const artifact = (await filesBelow(scene.cacheFolder)).filter((path) => !artifactsBefore.has(path))
  // A plain artifact may be opened from its source, so that goes out too.
  await dropPages([file])
  await dropArtifact(scene, artifact)
  await ours('pages dropped')
  if (isFar) await plain('fresh')
  check(starts, customer, expected)
}

/** Every answer to this customer against every answer of ONNX Runtime for the same file. */
function check(starts: ClassStarts, customer: number, expected: readonly PlainReport[]): void {
  const answers = starts.ours.slice(-3)
  for (const { outputs } of expected) {
    const wanted = outputs.map(
      ({ name, shape, values }): NamedTensor => ({ name, shape, datatype: 'FP32', data: Float32Array.from(values) }),
    )
    for (const answer of answers) {
      const problem = answerProblem(answer.outputs, wanted, starts.tolerance)
      if (problem !== undefined) {
        starts.problems.push(`${starts.className}, ${modelName(customer)}, ${answer.state}: ${problem}`)
      }
    }
  }
}

/** A background reader of the server (probe, scrub) may bring pages back: wait for it and drop them again. */
async function dropArtifact({ probe, server, signal }: Scene, files: readonly string[]): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    await dropPages(files)
    const bytes = await cachedBytes(files)
    if (bytes === undefined || bytes === 0) return
    if (attempt === DROP_ATTEMPTS) throw new Error(`${bytes} bytes of the artifact stayed in the page cache`)
    await probe.awaitQuiet(server.pid, signal)
  }
}

function fileOf(modelsFolder: string, customer: number): string {
  return join(modelsFolder, modelName(customer), '1', 'model.onnx')
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
}
