/**
 * B9T: what a fine-tune of a known base moves. One customer's model is published with shared tensors, and served from S3; then others of
 * the same family follow, one after the other, by the project's own commands. Everything passes a proxy that counts the bytes on the
 * line, heads and all.
 */
import { rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { inferBody } from '../generator/infer-request.ts'
import { modelClass, modelName, type NamedTensor, Rng, writeFolder } from '../models/index.ts'
import type { BenchFindings } from '../report/bench-result.ts'
import { progressBar } from '../report/progress-line.ts'
import { type FamilyTransfer, findings, type Transfer } from './b9t-findings.ts'
import { type Bench, type BenchContext, chosenClasses } from './bench.ts'
import { EngineAnswers } from './engine-answers.ts'
import { EngineProcess } from './engine-process.ts'
import { HttpProbe } from './http-probe.ts'
import { LatencyProxy } from './latency-proxy.ts'
import { cacheFolder, modelsFolder } from './running-server.ts'
import { S3Process } from './s3-process.ts'
import { BUCKET } from './s3-scene.ts'
import { ServerProcess } from './server-process.ts'

const FAMILIES = { R: 'head', M: 'lora' } as const
type SharedClass = keyof typeof FAMILIES
const SEED = 95
const ROOT = `s3://${BUCKET}/`
const SCAN_LIMIT_MS = 60_000
/** What passes the line while a model is fetched belongs to the fetch: no listing comes. */
const POLL_MS = 3_600_000

export const transfer: Bench = {
  name: 'B9T',
  question: 'what does a fine-tune of a known base move?',
  minutes: 2,
  reps: 5,
  run,
}

interface Scene {
  readonly className: SharedClass
  readonly folder: string
  readonly names: readonly string[]
  readonly s3: S3Process
  readonly line: LatencyProxy
  readonly inputs: readonly NamedTensor[]
  readonly answers: EngineAnswers
  readonly signal: AbortSignal
}

async function run(context: BenchContext): Promise<BenchFindings> {
  const all: FamilyTransfer[] = []
  for (const className of chosenClasses(context, ['R', 'M'])) {
    context.signal.throwIfAborted()
    all.push(await runFamily(context, className))
  }
  return findings(all)
}

async function runFamily(context: BenchContext, className: SharedClass): Promise<FamilyTransfer> {
  const folder = join(context.folder, className)
  await rm(folder, { recursive: true, force: true })
  const stack = new AsyncDisposableStack()
  // Gigabytes, and quickly made again.
  stack.defer(() => rm(folder, { recursive: true, force: true }))
  try {
    const scene = await setScene(context, className, folder, stack)
    const up = await publishAll(context, scene)
    const { down, problems } = await fetchAll(context, scene, stack)
    const moved = await Promise.all(
      scene.names.map(async (name, i): Promise<Transfer> => {
        const { size: bytes } = await stat(join(modelsFolder(folder), name, '1', 'model.onnx'))
        return { bytes, up: up[i] ?? Number.NaN, down: down[i] ?? Number.NaN }
      }),
    )
    const [base, ...tunes] = moved
    if (base === undefined) throw new Error('there is no base')
    return { className, family: FAMILIES[className], base, tunes, problems }
  } finally {
    await stack.disposeAsync()
  }
}

async function setScene(
  context: BenchContext,
  className: SharedClass,
  folder: string,
  stack: AsyncDisposableStack,
): Promise<Scene> {
  const zooClass = modelClass(className)
  const set = { family: FAMILIES[className], seed: SEED, customers: context.reps + 1 } as const
  const { names } = await writeFolder(modelsFolder(folder), zooClass, set, ({ done, total }) =>
    context.progress(`${className}: writing ${total} models ${progressBar(done, total)}`),
  )
  const s3 = await S3Process.start(join(folder, 's3'), [BUCKET])
  stack.defer(() => s3.stop())
  const line = await LatencyProxy.start(s3.port, 0)
  stack.defer(() => line.stop())
  const engine = new EngineProcess()
  stack.defer(() => engine.close())
  const inputs = zooClass.sampleInputs(new Rng('transfer', className, SEED), 1)
  const answers = new EngineAnswers(engine, modelsFolder(folder))
  return {
    className,
    folder,
    names: names.map((_, i) => modelName(i + 1)),
    s3,
    line,
    inputs,
    answers,
    signal: context.signal,
  }
}

/** Bytes to S3 for each model, in order. */
async function publishAll(
  context: BenchContext,
  { className, folder, names, s3, line, signal }: Scene,
): Promise<number[]> {
  const up: number[] = []
  for (const [i, name] of names.entries()) {
    signal.throwIfAborted()
    context.progress(`${className}: publishing ${progressBar(i, names.length)}`)
    const before = await line.bytes()
    const flags = ['--share-blobs', '--root', ROOT]
    await s3.publish(join(modelsFolder(folder), name, '1'), `${ROOT}${name}/1`, { endpoint: line.url, flags })
    up.push((await line.bytes()).up - before.up)
  }
  return up
}

/** Bytes from S3 for each model, in order. */
async function fetchAll(
  context: BenchContext,
  { className, folder, names, s3, line, inputs, answers, signal }: Scene,
  stack: AsyncDisposableStack,
): Promise<{ readonly down: readonly number[]; readonly problems: readonly string[] }> {
  const config = join(folder, 'modelmux.yaml')
  // JSON is YAML.
  await writeFile(config, JSON.stringify({ store: { s3: { endpoint: line.url, pathStyle: true, pollMs: POLL_MS } } }))
  const args = ['--models', ROOT, '--cache', cacheFolder(folder), '--config', config]
  const server = await ServerProcess.serve({ args, env: s3.env })
  stack.defer(async () => void (await server.stop()))
  const probe = new HttpProbe(server.target)
  stack.defer(() => probe.close())
  await probe.awaitReady(names.at(-1) ?? '', SCAN_LIMIT_MS, signal)
  const down: number[] = []
  const problems: string[] = []
  for (const [i, name] of names.entries()) {
    signal.throwIfAborted()
    context.progress(`${className}: first requests ${progressBar(i, names.length)}`)
    const before = await line.bytes()
    const { outputs } = await probe.infer(name, inferBody(inputs, 'binary'))
    await probe.awaitQuiet(server.pid, signal)
    down.push((await line.bytes()).down - before.down)
    const problem = await answers.problem(name, modelClass(className), inputs, outputs)
    if (problem !== undefined) problems.push(`${className}, ${problem}`)
  }
  return { down, problems }
}
