/**
 * ONNX Runtime without us, in a process of its own: what a program that embeds it gets. Commands come over the channel to its parent:
 * create a session in the plain way, run it once, and keep it or not; or hold one session and serve one body again and again, one at a time.
 */
import { deserialize } from 'node:v8'
import { systemClock } from '../../src/lib/clock.ts'
import { LatencyRecorder } from '../generator/latency.ts'
import type { NamedTensor } from '../models/index.ts'
import type { DirectReport, EngineCommand, EngineReply, HeldReport, PlainReport } from './engine-process.ts'

// Its binding wants FP16 as Uint16Array but takes Node's own Float16Array where there is one, and then fails.
Reflect.deleteProperty(globalThis, 'Float16Array')
const ort = await import('onnxruntime-node')

const DATATYPE_OF = { FP32: 'float32', INT64: 'int64', INT32: 'int32', FP64: 'float64' } as const

async function plain({ file, inputs }: Extract<EngineCommand, { kind: 'plain' }>): Promise<PlainReport> {
  const feeds = feedsOf(deserialize(Buffer.from(inputs, 'base64')) as NamedTensor[])
  const startedAt = systemClock.now()
  const session = await ort.InferenceSession.create(file)
  const createdAt = systemClock.now()
  const results = await session.run(feeds)
  const endedAt = systemClock.now()
  const outputs = Object.entries(results).map(([name, { dims, data }]) => ({
    name,
    shape: dims,
    values: Array.from(data as ArrayLike<number | bigint>, Number),
  }))
  await session.release()
  return { createMs: createdAt - startedAt, firstRunMs: endedAt - createdAt, outputs }
}

const held: unknown[] = []

async function hold({ file, inputs }: Extract<EngineCommand, { kind: 'hold' }>): Promise<HeldReport> {
  const startedAt = systemClock.now()
  const session = await ort.InferenceSession.create(file)
  const createMs = systemClock.now() - startedAt
  await session.run(feedsOf(deserialize(Buffer.from(inputs, 'base64')) as NamedTensor[]))
  held.push(session)
  return { createMs, pid: process.pid }
}

/** Both ways by turns, so that a slow second counts for both. */
async function direct({ file, body, seconds }: Extract<EngineCommand, { kind: 'direct' }>): Promise<DirectReport> {
  const session = await ort.InferenceSession.create(file, { intraOpNumThreads: 1, interOpNumThreads: 1 })
  const decoded = decode(body)
  const [run, whole] = [new LatencyRecorder(), new LatencyRecorder()]
  const endsAt = systemClock.now() + seconds * 1000
  while (systemClock.now() < endsAt) {
    let at = systemClock.now()
    await session.run(decoded)
    run.record(systemClock.now() - at)
    at = systemClock.now()
    encode(await session.run(decode(body)))
    whole.record(systemClock.now() - at)
  }
  await session.release()
  return { run: run.summary(), whole: whole.summary() }
}

function feedsOf(inputs: readonly NamedTensor[]): Record<string, InstanceType<typeof ort.Tensor>> {
  const tensor = ({ datatype, data, shape }: NamedTensor) =>
    new ort.Tensor(DATATYPE_OF[datatype as keyof typeof DATATYPE_OF], data, shape)
  return Object.fromEntries(inputs.map((input) => [input.name, tensor(input)]))
}

/** A JSON body of FP32 tensors, as the server gets it. */
function decode(body: string): Record<string, InstanceType<typeof ort.Tensor>> {
  const { inputs } = JSON.parse(body) as { inputs: { name: string; shape: number[]; data: number[] }[] }
  return Object.fromEntries(
    inputs.map(({ name, shape, data }) => [name, new ort.Tensor('float32', Float32Array.from(data), shape)]),
  )
}

function encode(outputs: Readonly<Record<string, InstanceType<typeof ort.Tensor>>>): string {
  const tensors = Object.entries(outputs).map(([name, { dims, data }]) => ({
    name,
    datatype: 'FP32',
    shape: dims,
    data: Array.from(data as Float32Array),
  }))
  return JSON.stringify({ outputs: tensors })
}

async function answer(command: EngineCommand): Promise<EngineReply> {
  try {
    if (command.kind === 'hold') return { ok: true, report: await hold(command) }
    return { ok: true, report: command.kind === 'plain' ? await plain(command) : await direct(command) }
  } catch (error) {
    return { ok: false, reason: error instanceof Error ? error.message : String(error) }
  }
}

process.on('message', (command: EngineCommand) => {
  answer(command).then(
    (reply) => process.send?.(reply),
    () => process.disconnect(),
  )
})
