/**
 * A tenant that means harm, as traffic: every request is either for a model that is a bomb, each a new file, or a bad input for a good
 * model. What matters is how the others fare; of its own answers only the statuses are kept.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Clock, systemClock } from '../../src/lib/clock.ts'
import { HttpConnection, requestOnce } from '../generator/http-connection.ts'
import { type InferBody, inferBody, inferRequest } from '../generator/infer-request.ts'
import type { Target } from '../generator/plan.ts'
import { modelClass, Rng, writeModel } from '../models/index.ts'
import { FILE_BOMBS, type HostileModel, RUN_BOMBS } from './bombs.ts'
import { actEvery } from './together.ts'

const TENANT = 'hostile-0001'
const GOOD_MODEL = `${TENANT}/good`
const SEED = 13
const BAD_INPUT_EVERY_MS = 50
const FILE_BOMB_EVERY_MS = 1000
const RUN_BOMB_EVERY_MS = 10_000
const RUN_BOMBS_A_STRETCH = 2
const TIMEOUT_MS = 120_000

/** What came back, by what was sent and status; `none` when the server gave no answer. */
export type HostileTally = Map<string, Map<string, number>>

export interface HostilePlace {
  /** File bombs before this one were sent already. */
  readonly firstBomb: number
  /** From 1; each stretch has run bombs of its own. */
  readonly stretch: number
}

/** File bombs that a stretch of so many seconds sends. */
export function bombsIn(seconds: number): number {
  return Math.ceil((seconds * 1000) / FILE_BOMB_EVERY_MS) + 1
}

/** Writes the tenant's good model, its run bombs for each stretch, and file bombs, no two the same. @returns the name of the last */
export async function writeHostileModels(root: string, fileBombs: number, stretches: number): Promise<string> {
  const good = modelClass('XS').build({ customer: 1, family: 'full', seed: SEED })
  await writeModel(join(root, GOOD_MODEL, '1', 'model.onnx'), good)
  for (let stretch = 1; stretch <= stretches; stretch += 1) {
    for (const [i, { bytes }] of RUN_BOMBS.entries()) await writeBytes(root, runBombName(i, stretch), bytes(stretch))
  }
  for (let i = 0; i < fileBombs; i += 1) await writeBytes(root, fileBombName(i), fileBombAt(i).bytes(i))
  return fileBombName(fileBombs - 1)
}

/** Sends bad inputs and bombs until stopped. Resolves when all are answered, with the number of file bombs sent so far. */
export async function hostileTraffic(
  target: Target,
  { firstBomb, stretch }: HostilePlace,
  stopped: AbortSignal,
  tally: HostileTally,
  clock: Clock = systemClock,
): Promise<number> {
  let next = firstBomb
  const send = async (what: string, model: string, body: InferBody): Promise<void> => {
    const connection = new HttpConnection(target, TIMEOUT_MS, clock)
    const status = await requestOnce(connection, inferRequest(target, model, body), clock).then(
      (reply) => String(reply.status),
      () => 'none',
    )
    connection.close()
    const row = tally.get(what) ?? new Map<string, number>()
    tally.set(what, row.set(status, (row.get(status) ?? 0) + 1))
  }
  await Promise.all([
    actEvery(clock, BAD_INPUT_EVERY_MS, stopped, (i) => {
      const { name, body } = cycled(BAD_INPUTS, i)
      return send(name, GOOD_MODEL, body)
    }),
    actEvery(clock, FILE_BOMB_EVERY_MS, stopped, () => {
      const index = next
      next += 1
      const { name, body } = fileBombAt(index)
      return send(`bomb: ${name}`, fileBombName(index), body)
    }),
    actEvery(clock, RUN_BOMB_EVERY_MS, stopped, (i) => {
      // Every stretch goes on where the one before it ended.
      const kind = (stretch * RUN_BOMBS_A_STRETCH + i) % RUN_BOMBS.length
      const { name, body } = cycled(RUN_BOMBS, kind)
      return send(`request bomb: ${name}`, runBombName(kind, stretch), body)
    }),
  ])
  return next
}

function fileBombName(index: number): string {
  return `${TENANT}/bomb-${String(index + 1).padStart(4, '0')}`
}

function runBombName(kind: number, stretch: number): string {
  return `${TENANT}/run-bomb-${kind}-${stretch}`
}

function fileBombAt(index: number): HostileModel {
  return cycled(FILE_BOMBS, index)
}

function cycled<T>(list: readonly T[], index: number): T {
  return list[index % list.length] as T
}

async function writeBytes(root: string, model: string, bytes: Uint8Array): Promise<void> {
  const dir = join(root, model, '1')
  await mkdir(dir, { recursive: true })
  await writeFile(join(dir, 'model.onnx'), bytes)
}

const FEATURES = 64

function json(value: unknown): InferBody {
  return { bytes: Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)) }
}

function features(shape: readonly number[], datatype: string, data: unknown): InferBody {
  return json({ inputs: [{ name: 'features', shape, datatype, data }] })
}

/** Inputs that the good model cannot take, each in another way. */
const BAD_INPUTS: readonly { readonly name: string; readonly body: InferBody }[] = [
  { name: 'no JSON', body: json('{"inputs":[{') },
  { name: 'wrong shape', body: features([1, 3], 'FP32', [1, 2, 3]) },
  { name: 'fewer values than the shape says', body: features([1, FEATURES], 'FP32', [1]) },
  { name: 'wrong datatype', body: features([1, FEATURES], 'INT64', new Array(FEATURES).fill(1)) },
  { name: 'unknown input', body: json({ inputs: [{ name: 'nobody', shape: [1], datatype: 'FP32', data: [1] }] }) },
  { name: 'a shape of 2^53 values', body: features([2 ** 26, 2 ** 27], 'FP32', [1]) },
  { name: 'deep JSON', body: json(`${'['.repeat(100_000)}${']'.repeat(100_000)}`) },
  { name: 'a megabyte of text for numbers', body: features([1, FEATURES], 'FP32', 'x'.repeat(2 ** 20)) },
  { name: 'binary sizes that lie', body: lyingBinary() },
  { name: 'prototype keys', body: json('{"__proto__":{"inputs":[]},"constructor":{"prototype":{}}}') },
]

function lyingBinary(): InferBody {
  const { bytes, jsonBytes } = inferBody(modelClass('XS').sampleInputs(new Rng('lying', SEED), 1), 'binary')
  return { bytes: bytes.subarray(0, bytes.length - 8), ...(jsonBytes === undefined ? {} : { jsonBytes }) }
}
