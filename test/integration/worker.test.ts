import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { after, before, beforeEach, describe, it } from 'node:test'
import type { NamedTensor } from '../../loadtest/models/index.ts'
import { largestDeviation, modelClass, Rng } from '../../loadtest/models/index.ts'
import { ChildGoneError } from '../../src/child/calls.ts'
import { countMappings } from '../../src/child/memory.ts'
import { GatewayError } from '../../src/domain/errors.ts'
import { systemClock } from '../../src/lib/clock.ts'
import type { OpenSpec, WorkerAnswer, WorkerRequest } from '../../src/worker/messages.ts'
import type { Worker } from '../../src/worker/worker.ts'
import { WorkerPool } from '../../src/worker/worker-pool.ts'
import type { WorkerExit } from '../../src/worker/worker-process.ts'
import type { ModelFolder } from '../support/tiny-models.ts'
import { addModel, gatherModel, identityModel, modelFolder } from '../support/tiny-models.ts'

const XS = modelClass('XS')
const GRACE_MS = 30_000

let models: ModelFolder
let pool: WorkerPool
let worker: Worker
let nextId = 1
/** Emits `up` and `down` as the pool tells them. */
const events = new EventEmitter<{ up: [Worker]; down: [Worker, WorkerExit] }>()

function newPool(
  count: number,
  onLine: (id: string, line: string) => void = () => {},
  entry?: URL,
  keepsSpare = false,
): WorkerPool {
  return new WorkerPool({
    count,
    clock: systemClock,
    respawn: { baseMs: 5, maxMs: 50 },
    onLine,
    onUp: (up) => void events.emit('up', up),
    onDown: (down, exit) => void events.emit('down', down, exit),
    keepsSpare,
    ...(entry === undefined ? {} : { entry }),
  })
}

function specOf(file: string, changes: Partial<OpenSpec> = {}): OpenSpec {
  const placementId = nextId++
  const defaults = { form: 'plain', isPacked: false, intraOpThreads: 1, model: 'acme/churn', version: '7' } as const
  return { placementId, file, ...defaults, isBatchSafe: true, maxRows: 64, warmUp: [], ...changes }
}

function request(body: object): WorkerRequest {
  const bytes = Buffer.from(JSON.stringify(body))
  return { body: [bytes], bodyBytes: bytes.length }
}

function requestOf(tensors: readonly NamedTensor[], more: object = {}): WorkerRequest {
  return request({
    ...more,
    inputs: tensors.map(({ name, datatype, shape, data }) => ({
      name,
      datatype,
      shape,
      data: Array.from(data as Float32Array),
    })),
  })
}

function indexRequest(...indices: number[]): WorkerRequest {
  return request({ inputs: [{ name: 'x', datatype: 'INT64', shape: [indices.length], data: indices }] })
}

interface Answer {
  readonly id?: string
  readonly outputs: { name: string; shape: number[]; data: number[] }[]
}

function bodyOf(answer: WorkerAnswer | undefined): Answer {
  assert.ok(answer !== undefined)
  if (!answer.ok) throw answer.error
  return JSON.parse(answer.body.toString('utf8', 0, answer.jsonBytes)) as Answer
}

describe('a worker process', () => {
  before(async () => {
    models = await modelFolder()
    pool = newPool(1)
    await pool.start()
    const [first] = pool.workers
    assert.ok(first !== undefined)
    worker = first
  })
  beforeEach(() => assert.ok(worker.isUp && worker.pid > 0))
  after(async () => {
    await pool.close(GRACE_MS)
    await models[Symbol.asyncDispose]()
  })

  it('answers with what the model must give, and says how it got there', async () => {
    const recipe = { customer: 1, family: 'full', seed: 1 } as const
    const spec = specOf(await models.write('xs', XS.build(recipe)))
    const inputs = XS.sampleInputs(new Rng(1), 3)
    const [opened, report] = await Promise.all([
      worker.open(spec),
      worker.run(spec.placementId, [requestOf(inputs, { id: 'mine' })]),
    ])
    assert.ok(opened.openMs > 0 && opened.privateBytes >= 0 && opened.mappings >= 0)
    const { id, outputs, ...rest } = bodyOf(report.answers[0])
    assert.equal(id, 'mine')
    assert.deepEqual(rest, { model_name: 'acme/churn', model_version: '7' })
    const [output] = outputs
    assert.ok(output !== undefined)
    const [expected] = XS.expected(recipe, inputs)
    assert.ok(expected !== undefined)
    assert.deepEqual(output.shape, expected.shape)
    assert.ok(largestDeviation(output.data, expected.data as Float32Array) < XS.tolerance)
    assert.equal(report.runs, 1)
    assert.equal(report.rows, 3)
    for (const ms of [report.decodeMs, report.runMs, report.encodeMs]) assert.ok(ms >= 0)
    await worker.close(spec.placementId)
  })

  it('stacks requests into few runs, each answer being the one it has alone', async () => {
    const spec = specOf(await models.write('stacked', XS.build({ customer: 2, family: 'full', seed: 1 })), {
      maxRows: 4,
    })
    await worker.open(spec)
    const rng = new Rng(2)
    const requests = Array.from({ length: 6 }, (_, i) => requestOf(XS.sampleInputs(rng, 1 + (i % 2)), { id: `${i}` }))
    const together = await worker.run(spec.placementId, requests)
    assert.equal(together.runs, 3)
    assert.equal(together.rows, 9)
    for (const [i, one] of requests.entries()) {
      const alone = bodyOf((await worker.run(spec.placementId, [one])).answers[0])
      const stacked = bodyOf(together.answers[i])
      assert.equal(stacked.id, `${i}`)
      assert.deepEqual(stacked.outputs[0]?.shape, alone.outputs[0]?.shape)
      for (const [at, value] of (stacked.outputs[0]?.data ?? []).entries()) {
        assert.ok(Math.abs(value - (alone.outputs[0]?.data[at] ?? Number.NaN)) < XS.tolerance)
      }
    }
    await worker.close(spec.placementId)
  })

  it('stacks only while it is told that it may', async () => {
    const spec = specOf(await models.write('gather', gatherModel()), { isBatchSafe: false })
    const requests = [indexRequest(0), indexRequest(1)]
    await worker.open(spec)
    assert.equal((await worker.run(spec.placementId, requests)).runs, 2)
    worker.setBatching(spec.placementId, { isBatchSafe: true, maxRows: 2 })
    const stacked = await worker.run(spec.placementId, requests)
    assert.equal(stacked.runs, 1)
    assert.deepEqual(
      stacked.answers.map((answer) => answer.ok && answer.rows),
      [2, 2],
    )
    await worker.close(spec.placementId)
  })

  it('answers the innocent of a stacked run in which one request fails', async () => {
    const spec = specOf(await models.write('blame', gatherModel()))
    await worker.open(spec)
    const notJson: WorkerRequest = { body: [Buffer.from('{')], bodyBytes: 1 }
    const { answers } = await worker.run(spec.placementId, [
      indexRequest(0),
      indexRequest(99),
      notJson,
      indexRequest(2, 1),
    ])
    assert.deepEqual(bodyOf(answers[0]).outputs[0]?.data, [10])
    assert.deepEqual(bodyOf(answers[3]).outputs[0]?.data, [12, 11])
    assert.deepEqual(
      answers.map((answer) => (answer.ok ? 'ok' : answer.error.code)),
      ['ok', 'BAD_INPUT_VALUE', 'BAD_REQUEST', 'ok'],
    )
    await worker.close(spec.placementId)
  })

  it('runs one by one when a model said to be batch-safe mixes rows', async () => {
    const spec = specOf(await models.write('add', addModel()))
    await worker.open(spec)
    const pair = (value: number) =>
      request({ inputs: ['a', 'b'].map((name) => ({ name, datatype: 'FP32', shape: [1, 2], data: [value, value] })) })
    const report = await worker.run(spec.placementId, [pair(1), pair(2)])
    assert.deepEqual(
      report.answers.map((answer) => bodyOf(answer).outputs.at(-1)?.data),
      [[4], [8]],
    )
    assert.equal(report.runs, 2)
    await worker.close(spec.placementId)
  })

  it('gives each request of a stacked run the outputs it asked for, as JSON or binary', async () => {
    const spec = specOf(await models.write('choice', identityModel('FP32', ['N', 2])))
    await worker.open(spec)
    const inputs = [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: [1, 2] }]
    const { runs, answers } = await worker.run(spec.placementId, [
      request({ inputs }),
      request({ inputs, outputs: [{ name: 'y', parameters: { binary_data: true } }] }),
    ])
    assert.equal(runs, 1)
    assert.deepEqual(bodyOf(answers[0]).outputs[0]?.data, [1, 2])
    const [, binary] = answers
    assert.ok(binary?.ok === true && binary.jsonBytes !== undefined)
    assert.deepEqual(binary.body.subarray(binary.jsonBytes), Buffer.from(Float32Array.of(1, 2).buffer))
    await worker.close(spec.placementId)
  })

  it('takes and gives binary tensors of megabytes', async () => {
    const spec = specOf(await models.write('large', identityModel('FP32', ['N', 2])))
    await worker.open(spec)
    const data = new Float32Array(1_000_000).map((_, i) => i)
    const json = Buffer.from(
      JSON.stringify({
        inputs: [
          { name: 'x', datatype: 'FP32', shape: [500_000, 2], parameters: { binary_data_size: data.byteLength } },
        ],
        parameters: { binary_data_output: true },
      }),
    )
    const body = [json, Buffer.from(data.buffer)]
    const { answers } = await worker.run(spec.placementId, [
      { body, bodyBytes: json.length + data.byteLength, jsonBytes: json.length },
    ])
    const [answer] = answers
    assert.ok(answer?.ok === true)
    assert.ok(answer.body.subarray(answer.jsonBytes).equals(Buffer.from(data.buffer)))
    await worker.close(spec.placementId)
  })

  it('carries FP16 through a worker process', async () => {
    const spec = specOf(await models.write('half', identityModel('FP16', ['N', 2])))
    await worker.open(spec)
    const { answers } = await worker.run(spec.placementId, [
      request({ inputs: [{ name: 'x', datatype: 'FP16', shape: [1, 2], data: [0.1, -65_504] }] }),
    ])
    assert.deepEqual(bodyOf(answers[0]).outputs[0]?.data, [0.099_975_586, -65_504])
    await worker.close(spec.placementId)
  })

  it('runs warm-up requests after opening and reports those that fail without failing itself', async () => {
    const inputs = [{ name: 'x', datatype: 'INT64', shape: [1], data: [0] }]
    const spec = specOf(await models.write('warm', gatherModel()), { warmUp: [{ inputs }, { inputs: [] }, 'nonsense'] })
    const { warmUpErrors } = await worker.open(spec)
    assert.equal(warmUpErrors.length, 2)
    assert.match(warmUpErrors[0] ?? '', /input 'x': it is missing/)
    assert.equal((await worker.run(spec.placementId, [indexRequest(1)])).answers[0]?.ok, true)
    await worker.close(spec.placementId)
  })

  it('rejects the open of a broken file and everything sent along with it, and lives on', async () => {
    const spec = specOf(await models.write('broken', Buffer.from('no model')))
    const [opened, ran] = await Promise.allSettled([worker.open(spec), worker.run(spec.placementId, [indexRequest(0)])])
    for (const result of [opened, ran]) {
      assert.ok(result.status === 'rejected' && result.reason instanceof GatewayError)
      // Only what was compiled and checked comes to a worker: a failure must not condemn the model for good.
      assert.equal(result.reason.code, 'MODEL_LOAD_FAILED')
      assert.match(String(result.reason.cause), /parsing failed/)
    }
    await worker.close(spec.placementId)
    await assert.rejects(worker.run(spec.placementId, [indexRequest(0)]), { code: 'INTERNAL' })
  })

  it('refuses a placement that is open already and closes one that is not', async () => {
    const spec = specOf(await models.write('twice', gatherModel()))
    await worker.open(spec)
    await assert.rejects(worker.open(spec), { code: 'INTERNAL' })
    await worker.close(spec.placementId)
    await worker.close(spec.placementId)
    await worker.open(spec)
    await worker.close(spec.placementId)
  })

  it('has no more mappings than at its start and those of its sessions, and gives them back', async () => {
    const file = await models.write('mapped', XS.build({ customer: 3, family: 'full', seed: 1 }))
    const before = await countMappings(worker.pid)
    assert.ok(worker.atStart.mappings > 100 && worker.atStart.mappings <= before)
    const specs = Array.from({ length: 30 }, () => specOf(file))
    const reports = await Promise.all(specs.map((spec) => worker.open(spec)))
    const counted = reports.reduce((sum, { mappings }) => sum + mappings, 0)
    const real = (await countMappings(worker.pid)) - before
    assert.ok(Math.abs(real - counted) < 100, `${real} mappings, of which ${counted} are known`)
    await Promise.all(specs.map(({ placementId }) => worker.close(placementId)))
    assert.ok((await countMappings(worker.pid)) - before < 100)
  })

  it('is replaced under the same id when it dies; calls under way are rejected, its placements are gone', async () => {
    const spec = specOf(await models.write('victim', gatherModel()))
    await worker.open(spec)
    const { pid } = worker
    const [down, up] = [once(events, 'down'), once(events, 'up')]
    const call = worker.run(spec.placementId, [indexRequest(0)])
    process.kill(pid, 'SIGKILL')
    await call.catch((error: unknown) => assert.ok(error instanceof ChildGoneError))
    const [gone, exit] = (await down) as [Worker, WorkerExit]
    assert.equal(gone, worker)
    assert.deepEqual(exit, { code: null, signal: 'SIGKILL', reason: 'host' })
    const early = worker.run(spec.placementId, [indexRequest(0)])
    if (!worker.isUp) await assert.rejects(early, ChildGoneError)
    assert.equal((await up)[0], worker)
    assert.notEqual(worker.pid, pid)
    await assert.rejects(worker.run(spec.placementId, [indexRequest(0)]), { code: 'INTERNAL' })
    await worker.open(spec)
    assert.equal((await worker.run(spec.placementId, [indexRequest(0)])).answers[0]?.ok, true)
  })
})

describe('a pool of workers', () => {
  it('finishes the calls under way when it is closed, refuses new ones, and leaves no process', async () => {
    const folder = await modelFolder()
    const own = newPool(2)
    await own.start()
    const pids = own.workers.map(({ pid }) => pid)
    const spec = specOf(await folder.write('gather', gatherModel()))
    const calls = own.workers.flatMap((each) => [each.open(spec), each.run(spec.placementId, [indexRequest(0)])])
    const closed = own.close(GRACE_MS)
    for (const each of own.workers) await assert.rejects(each.close(spec.placementId), ChildGoneError)
    await Promise.all(calls)
    await Promise.all([closed, own.close(GRACE_MS)])
    assert.deepEqual(
      own.workers.map(({ isUp }) => isUp),
      [false, false],
    )
    for (const pid of pids) assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
    await folder[Symbol.asyncDispose]()
  })

  it('puts a successor in the place of a worker, beside it until it is told, and starts that one again when it dies', async () => {
    const folder = await modelFolder()
    const own = newPool(1)
    await own.start()
    const [first] = own.workers
    assert.ok(first !== undefined)
    const spec = specOf(await folder.write('gather', gatherModel()))
    const successor = await own.succeed(first.slot)
    await Promise.all([first, successor].map((each) => each.open(spec)))
    assert.deepEqual([own.workers, successor.slot], [[first], first.slot])
    assert.notEqual(successor.pid, first.pid)
    assert.equal(own.promote(successor), first)
    assert.deepEqual(own.workers, [successor])
    // The predecessor still answers what it was given before.
    const last = first.run(spec.placementId, [indexRequest(0)])
    const down = once(events, 'down')
    await own.retire(first, GRACE_MS)
    assert.equal((await last).answers[0]?.ok, true)
    assert.deepEqual(await down, [first, { code: 0, signal: null, reason: 'recycle' }])
    assert.equal((await successor.run(spec.placementId, [indexRequest(0)])).answers[0]?.ok, true)
    const [up, { pid }] = [once(events, 'up'), successor]
    process.kill(pid, 'SIGKILL')
    assert.equal((await up)[0], successor)
    assert.notEqual(successor.pid, pid)
    await own.close(GRACE_MS)
    assert.deepEqual(own.everyWorker, [successor])
    await folder[Symbol.asyncDispose]()
  })

  it('keeps a spare process, and makes another when it is taken', async () => {
    const own = newPool(1, () => {}, undefined, true)
    await own.start()
    const [each] = own.workers
    const pids = new Set<number>()
    for (let life = 0; life < 3; life++) {
      pids.add(each?.pid ?? 0)
      const up = once(events, 'up')
      const down = once(events, 'down')
      each?.kill('rebind')
      assert.equal(((await down)[1] as WorkerExit).reason, 'rebind')
      await up
    }
    assert.equal(pids.size, 3)
    await own.close(GRACE_MS)
  })

  it('closes when it never started', async () => {
    await newPool(1).close(0)
  })

  it('rejects the start when a worker does not come up, and hands its words on without colours', async () => {
    const lines: string[] = []
    const entry = new URL('../support/children/fails-in-red.ts', import.meta.url)
    const own = newPool(1, (id, line) => lines.push(`${id}: ${line}`), entry)
    await assert.rejects(own.start(), ChildGoneError)
    await own.close(GRACE_MS)
    assert.equal(lines[0], 'worker-0: out of order')
  })

  it('kills what does not end within the grace', async () => {
    const own = newPool(1, () => {}, new URL('../support/children/never-ends.ts', import.meta.url))
    await own.start()
    const [each] = own.workers
    const pid = each?.pid ?? 0
    await own.close(50)
    assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
  })
})
