/**
 * B6S: a cold start whose bytes are still in S3. One request for a model that was never fetched goes to a server behind a line with
 * delay; beside its fetch phase stands curl, which brings the same object over the same line in parallel ranges. Every repetition is
 * another customer's model.
 */
import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { REMOTE_STORE_LIMITS } from '../../src/store/remote-store.ts'
import { inferBody } from '../generator/infer-request.ts'
import { rotated } from '../measure/statistics.ts'
import { takeMemory } from '../measure/take-memory.ts'
import { type ClassName, modelClass, modelName, Rng, writeFolder } from '../models/index.ts'
import type { BenchFindings } from '../report/bench-result.ts'
import { progressBar } from '../report/progress-line.ts'
import { type ClassFetches, type FetchTimes, findings } from './b6s-findings.ts'
import { type Bench, type BenchContext, chosenClasses } from './bench.ts'
import { curlDownload, curlVersion } from './curl-ranges.ts'
import { EngineAnswers } from './engine-answers.ts'
import { EngineProcess } from './engine-process.ts'
import { LatencyProxy } from './latency-proxy.ts'
import { modelsFolder } from './running-server.ts'
import { BUCKET, type S3Scene, setS3Scene } from './s3-scene.ts'

const CLASSES: readonly ClassName[] = ['R', 'M']
const QUICK_CLASSES: readonly ClassName[] = ['S']
const SEED = 65
const DELAY_MS = 10
/** A model of its own warms code paths and connections up. */
const WARM_UP_CUSTOMER = 1

export const storeCold: Bench = {
  name: 'B6S',
  question: 'how fast does a cold model come from S3, and in how many calls?',
  minutes: 3,
  reps: 7,
  run,
}

interface Scene extends S3Scene {
  /** To the same store, without delay. */
  readonly near: LatencyProxy
  /** What ONNX Runtime itself says. */
  readonly answers: EngineAnswers
  readonly className: ClassName
  readonly folder: string
  readonly signal: AbortSignal
}

async function run(context: BenchContext): Promise<BenchFindings> {
  const version = await curlVersion()
  if (version === undefined) throw new Error('there is no curl to compare with')
  const all: ClassFetches[] = []
  const classes = context.isQuick && context.classes === undefined ? QUICK_CLASSES : CLASSES
  for (const className of chosenClasses(context, classes)) {
    context.signal.throwIfAborted()
    all.push(await runClass(context, className))
  }
  const { parallel, rangeBytes } = REMOTE_STORE_LIMITS
  return findings(all, { delayMs: DELAY_MS, curlVersion: version, parallel, rangeBytes })
}

async function runClass(context: BenchContext, className: ClassName): Promise<ClassFetches> {
  const folder = join(context.folder, className)
  await rm(folder, { recursive: true, force: true })
  const stack = new AsyncDisposableStack()
  // Gigabytes, and quickly made again.
  stack.defer(() => rm(folder, { recursive: true, force: true }))
  try {
    const scene = await setScene(context, className, folder, stack)
    const { size: bytes } = await stat(fileOf(folder, WARM_UP_CUSTOMER))
    const fetches: ClassFetches = { className, bytes, times: [], calls: [], problems: [] }
    await measure(scene, 0, { ...fetches, times: [], calls: [] })
    for (let rep = 1; rep <= context.reps; rep += 1) {
      context.progress(`${className}: repetition ${rep} of ${context.reps}`)
      await measure(scene, rep, fetches)
    }
    return fetches
  } finally {
    await stack.disposeAsync()
  }
}

async function setScene(
  context: BenchContext,
  className: ClassName,
  folder: string,
  stack: AsyncDisposableStack,
): Promise<Scene> {
  const { reps, signal } = context
  const set = { family: 'full', seed: SEED, customers: reps + WARM_UP_CUSTOMER } as const
  const { names } = await writeFolder(modelsFolder(folder), modelClass(className), set, ({ done, total }) =>
    context.progress(`${className}: writing ${total} models ${progressBar(done, total)}`),
  )
  const onPublish = (done: number): void =>
    context.progress(`${className}: publishing ${names.length} models ${progressBar(done, names.length)}`)
  const scene = await setS3Scene({ folder, names, delayMs: DELAY_MS, signal, onPublish }, stack)
  const near = await LatencyProxy.start(scene.s3.port, 0)
  stack.defer(() => near.stop())
  const engine = new EngineProcess()
  stack.defer(() => engine.close())
  return { ...scene, near, answers: new EngineAnswers(engine, modelsFolder(folder)), className, folder, signal }
}

/** One model, by every contender in turn. */
async function measure(scene: Scene, rep: number, fetches: ClassFetches): Promise<void> {
  const { line, near } = scene
  const { bytes } = fetches
  const { rangeBytes, parallel } = REMOTE_STORE_LIMITS
  const number = WARM_UP_CUSTOMER + rep
  const curl = (proxy: LatencyProxy, size: number): Promise<number> =>
    curlDownload({
      url: `${proxy.url}/${BUCKET}/${modelName(number)}/1/model.onnx`,
      bytes,
      rangeBytes: size,
      parallel,
      login: scene.s3.login,
      folder: join(scene.folder, 'curl'),
    })
  const contenders: readonly (readonly [keyof FetchTimes, () => Promise<number>])[] = [
    ['ceiling', () => curl(near, rangeBytes)],
    ['curlRanges', () => curl(line, rangeBytes)],
    ['ours', () => fetchOurs(scene, number, fetches)],
    ['curlShares', () => curl(line, Math.ceil(bytes / parallel))],
  ]
  const times: Partial<Record<keyof FetchTimes, number>> = {}
  for (const [contender, time] of rotated(contenders, rep)) {
    scene.signal.throwIfAborted()
    await takeMemory(scene.folder, bytes)
    times[contender] = await time()
  }
  const { ceiling = Number.NaN, curlRanges = Number.NaN, curlShares = Number.NaN, ours = Number.NaN } = times
  fetches.times.push({ ceiling, curlRanges, curlShares, ours })
}

/** @returns the milliseconds of its fetch phase; the answer is held against ONNX Runtime's own */
async function fetchOurs(scene: Scene, number: number, { className, calls, problems }: ClassFetches): Promise<number> {
  const { line, probe, server, answers, signal } = scene
  const zooClass = modelClass(className)
  const inputs = zooClass.sampleInputs(new Rng('store cold', className, SEED), 1)
  const name = modelName(number)
  const before = (await line.calls()).length
  const { phases, outputs } = await probe.infer(name, inferBody(inputs, 'binary'))
  calls.push((await line.calls()).slice(before))
  const problem = await answers.problem(name, zooClass, inputs, outputs)
  if (problem !== undefined) problems.push(`${className}, ${problem}`)
  await probe.awaitQuiet(server.pid, signal)
  await probe.unload(name)
  const { fetch: ms } = phases
  if (ms === undefined) throw new Error(`${name} was answered without a fetch`)
  return ms
}

function fileOf(folder: string, number: number): string {
  return join(modelsFolder(folder), modelName(number), '1', 'model.onnx')
}
