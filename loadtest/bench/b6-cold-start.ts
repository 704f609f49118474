/**
 * B6: where the time of a cold start goes, by class of model and by how far away its bytes are.
 *
 *   first touch    never seen: digest, walk, compile, check, open, run; source in the page cache, or dropped from it
 *   pages dropped  artifact on disk, none of its pages in memory, after a restart of the server
 *   cached         artifact on disk, its pages in memory
 *
 * Beside each stands ONNX Runtime's own `create` and first run on the same file, in a fresh process and in one that has done it before;
 * its outputs are what our answers are held against. Every repetition is another customer's model.
 */
import { readdir, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { answerProblem } from '../generator/infer-answer.ts'
import { type InferBody, inferBody } from '../generator/infer-request.ts'
import { cachedBytes, dropPages } from '../measure/page-cache.ts'
import { takeMemory } from '../measure/take-memory.ts'
import { type ClassName, modelClass, modelName, type NamedTensor, Rng, writeFolder } from '../models/index.ts'
import type { BenchFindings } from '../report/bench-result.ts'
import { progressBar } from '../report/progress-line.ts'
import { type ClassStarts, findings, type OurStart, type PlainKind, type State } from './b6-findings.ts'
import { type Bench, type BenchContext, chosenClasses } from './bench.ts'
import { EngineProcess, type PlainReport, plainInFreshProcess } from './engine-process.ts'
import { HttpProbe } from './http-probe.ts'
import { ServerProcess } from './server-process.ts'

const CLASSES: readonly ClassName[] = ['S', 'M', 'Q', 'R', 'L', 'T']
const QUICK_CLASSES: readonly ClassName[] = ['S', 'T']
const SEED = 6
const SCAN_LIMIT_MS = 60_000
const DROP_ATTEMPTS = 5
/** Twice, so that each worker has had its turn where homes are spread. */
const WARM_UP_TURNS = 2
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
  readonly server: ServerProcess
  readonly probe: HttpProbe
  readonly modelsFolder: string
  readonly cacheFolder: string
  readonly inputs: readonly NamedTensor[]
  readonly body: InferBody
  readonly signal: AbortSignal
}

/** What must be known of a customer to go on with it after the server's restart. */
interface Customer {
  readonly number: number
  /** Files of its artifact and no other's. */
  readonly artifact: readonly string[]
  /** What ONNX Runtime said to the same inputs. */
  readonly expected: readonly PlainReport[]
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
  const folder = join(context.folder, className)
  const zooClass = modelClass(className)
  const starts: ClassStarts = { className, tolerance: zooClass.tolerance, ours: [], plain: [], problems: [] }
  const customers: Customer[] = []
  const warmEngine = new EngineProcess()
  await rm(folder, { recursive: true, force: true })
  try {
    const set = { family: 'full', seed: SEED, customers: context.reps + WARM_UP_CUSTOMER } as const
    await writeFolder(join(folder, 'models'), zooClass, set, ({ done, total }) =>
      context.progress(`${className}: writing ${total} models ${progressBar(done, total)}`),
    )
    await withServer(context, className, async (scene) => {
      await warmEngine.plain(fileOf(scene, WARM_UP_CUSTOMER), scene.inputs)
      for (let rep = 1; rep <= context.reps; rep += 1) {
        context.progress(`${className}: never seen and cached, repetition ${rep} of ${context.reps}`)
        customers.push(await measureNear(scene, WARM_UP_CUSTOMER + rep, rep % 2 === 0, warmEngine, starts))
      }
    })
    // A server remembers for a minute which files it found in memory; a new one has to look.
    await withServer(context, className, async (scene) => {
      for (const [i, customer] of customers.entries()) {
        context.progress(`${className}: pages dropped, repetition ${i + 1} of ${context.reps}`)
        await measureDropped(scene, customer, starts)
      }
    })
    return starts
  } finally {
    warmEngine.close()
    // Thirty customers of the big classes are gigabytes, and are quickly made again.
    await rm(folder, { recursive: true, force: true })
  }
}

/** A server on the class's folders, with its code paths warm: the first session and the first compile of a process are slower than all others. */
async function withServer(
  { folder, signal }: BenchContext,
  className: ClassName,
  use: (scene: Scene) => Promise<void>,
): Promise<void> {
  const modelsFolder = join(folder, className, 'models')
  const cacheFolder = join(folder, className, 'cache')
  const inputs = modelClass(className).sampleInputs(new Rng('cold start', className, SEED), 1)
  const body = inferBody(inputs, 'binary')
  const server = await ServerProcess.serve({ args: ['--models', modelsFolder, '--cache', cacheFolder] })
  const probe = new HttpProbe(server.target)
  const model = modelName(WARM_UP_CUSTOMER)
  try {
    await probe.awaitReady(model, SCAN_LIMIT_MS, signal)
    for (let turn = 0; turn < WARM_UP_TURNS; turn += 1) {
      await probe.infer(model, body)
      await probe.awaitQuiet(server.pid, signal)
      await probe.unload(model)
    }
    await use({ server, probe, modelsFolder, cacheFolder, inputs, body, signal })
  } finally {
    probe.close()
    await server.stop()
  }
}

/** First touch and cached, plain ONNX Runtime in between; `isFar`: the source is not in memory at first. */
async function measureNear(
  scene: Scene,
  number: number,
  isFar: boolean,
  warmEngine: EngineProcess,
  starts: ClassStarts,
): Promise<Customer> {
  const { probe, inputs, signal } = scene
  const file = fileOf(scene, number)
  const expected: PlainReport[] = []
  const { size } = await stat(file)
  const takesMemory = (): Promise<void> => takeMemory(dirname(scene.modelsFolder), size)
  const plain = async (kind: PlainKind): Promise<void> => {
    await takesMemory()
    const report = kind === 'warm' ? await warmEngine.plain(file, inputs) : await plainInFreshProcess(file, inputs)
    starts.plain.push({ kind, ...report })
    expected.push(report)
  }
  signal.throwIfAborted()
  await probe.awaitReady(modelName(number), SCAN_LIMIT_MS, signal)
  const before = new Set(await filesBelow(scene.cacheFolder))
  if (isFar) {
    await dropPages([file])
    await plain('fresh, source dropped')
    await dropPages([file])
  } else {
    await plain('fresh')
  }
  await takesMemory()
  const touched = await measureOurs(scene, number, isFar ? 'first touch, source dropped' : 'first touch', starts)
  await plain('warm')
  await takesMemory()
  const cached = await measureOurs(scene, number, 'cached', starts)
  if (isFar) await plain('fresh')
  for (const start of [touched, cached]) check(starts, start, number, expected)
  const artifact = (await filesBelow(scene.cacheFolder)).filter((path) => !before.has(path))
  return { number, artifact, expected }
}

async function measureDropped(
  scene: Scene,
  { number, artifact, expected }: Customer,
  starts: ClassStarts,
): Promise<void> {
  scene.signal.throwIfAborted()
  // A plain artifact may be opened from its source, so that goes out too.
  await dropPages([fileOf(scene, number)])
  await dropArtifact(scene, artifact)
  check(starts, await measureOurs(scene, number, 'pages dropped', starts), number, expected)
}

async function measureOurs(scene: Scene, number: number, state: State, starts: ClassStarts): Promise<OurStart> {
  const { probe, server, body, signal } = scene
  const start = { state, ...(await probe.infer(modelName(number), body)) }
  starts.ours.push(start)
  await probe.awaitQuiet(server.pid, signal)
  await probe.unload(modelName(number))
  return start
}

/** An answer of ours against every answer of ONNX Runtime for the same file. */
function check(starts: ClassStarts, start: OurStart, number: number, expected: readonly PlainReport[]): void {
  for (const { outputs } of expected) {
    const wanted = outputs.map(
      ({ name, shape, values }): NamedTensor => ({ name, shape, datatype: 'FP32', data: Float32Array.from(values) }),
    )
    const problem = answerProblem(start.outputs, wanted, starts.tolerance)
    if (problem !== undefined) {
      starts.problems.push(`${starts.className}, ${modelName(number)}, ${start.state}: ${problem}`)
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

function fileOf({ modelsFolder }: Scene, number: number): string {
  return join(modelsFolder, modelName(number), '1', 'model.onnx')
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
}
