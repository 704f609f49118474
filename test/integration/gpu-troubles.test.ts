import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { spawnChild } from '../../src/child/spawn.ts'
import { isDeviceOutOfMemory } from '../../src/domain/device-memory.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { probeDevice } from '../../src/worker/device-probe.ts'
import type { OpenSpec, WorkerRequest } from '../../src/worker/messages.ts'
import type { Worker } from '../../src/worker/worker.ts'
import { WorkerPool } from '../../src/worker/worker-pool.ts'
import type { WorkerExit } from '../../src/worker/worker-process.ts'
import { WorkerGoneError } from '../../src/worker/worker-process.ts'
import type { ModelFolder } from '../support/tiny-models.ts'
import { identityModel, modelFolder } from '../support/tiny-models.ts'

const GRACE_MS = 30_000
const ENTRY = new URL('../support/children/worker-on-fake-gpu.ts', import.meta.url)
/** Inputs that a run fails on, with the words that it fails with. */
const MEMORY = 1
const POISON = 2
const LOST = 3
const WORDS = {
  [MEMORY]: 'bfc_arena.cc:376 Failed to allocate memory for requested buffer of size 4096',
  [POISON]: 'CUDA failure 700: an illegal memory access was encountered ; GPU=0 ; expr=cudaStreamSynchronize(stream);',
  [LOST]: 'WebGPU device lost (1): vkQueueSubmit failed with VK_ERROR_DEVICE_LOST',
}

let models: ModelFolder
let pool: WorkerPool
let worker: Worker
let gone: string
const lines: string[] = []
const unfit: unknown[] = []
const events = new EventEmitter<{ up: [Worker]; down: [Worker, WorkerExit]; unfit: [unknown] }>()
let nextId = 1

function specOf(file: string, isBatchSafe = false): OpenSpec {
  const placementId = nextId++
  const names = { model: 'acme/churn', version: '7' }
  return {
    placementId,
    file,
    form: 'plain',
    isPacked: false,
    intraOpThreads: 1,
    ...names,
    isBatchSafe,
    maxRows: 64,
    warmUp: [],
  }
}

function request(value: number): WorkerRequest {
  const bytes = Buffer.from(JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 1], data: [value] }] }))
  return { body: [bytes], bodyBytes: bytes.length }
}

describe('a worker on a GPU in trouble', () => {
  before(async () => {
    models = await modelFolder()
    gone = join(models.dir, 'gone')
    const troubles = JSON.stringify({
      run: WORDS,
      open: { crowded: 'CUDA failure 2: out of memory ; GPU=0' },
      missing: gone,
    })
    pool = new WorkerPool({
      count: 1,
      device: 'cuda:0',
      clock: systemClock,
      respawn: { baseMs: 5, maxMs: 50 },
      spawn: (options) => spawnChild({ ...options, args: [troubles] }),
      onLine: (_id, line) => void lines.push(line),
      onUp: (up) => void events.emit('up', up),
      onDown: (down, exit) => void events.emit('down', down, exit),
      onUnfit: (_worker, error) => {
        unfit.push(error)
        events.emit('unfit', error)
      },
      entry: ENTRY,
    })
    await pool.start()
    const [first] = pool.workers
    assert.ok(first !== undefined)
    worker = first
  })
  after(async () => {
    await pool.close(GRACE_MS)
    await models[Symbol.asyncDispose]()
  })

  it('refuses what its memory cannot hold, at open and at run, and goes on', async () => {
    const refused = await worker
      .open(specOf(await models.write('crowded', identityModel('FP32', ['N', 1]))))
      .catch((e: unknown) => e)
    assert.ok(isDeviceOutOfMemory(refused))
    assert.equal(refused.status, 507)
    const spec = specOf(await models.write('good', identityModel('FP32', ['N', 1])), true)
    await worker.open(spec)
    const { pid } = worker
    // Stacked behind a request that asks for too much: repeated one by one, only that one fails.
    const { answers } = await worker.run(spec.placementId, [request(MEMORY), request(7)])
    assert.deepEqual(
      answers.map((answer) => answer.ok),
      [false, true],
    )
    const [failed] = answers
    assert.ok(failed !== undefined && !failed.ok && isDeviceOutOfMemory(failed.error))
    assert.deepEqual(failed.error.facts.details, { outOf: 'device memory', when: 'run', bytes: 4096 })
    assert.equal(worker.pid, pid)
    await worker.close(spec.placementId)
  })

  for (const [what, value, reason] of [
    ['poisoned dies as in a crash', POISON, 'crash'],
    ['lost dies as if it was killed from outside, which is held against no model', LOST, 'host'],
  ] as const) {
    it(`that is ${what}, and is replaced`, async () => {
      const spec = specOf(await models.write(`victim-${value}`, identityModel('FP32', ['N', 1])))
      await worker.open(spec)
      const [down, up] = [once(events, 'down'), once(events, 'up')]
      const error = await worker.run(spec.placementId, [request(value)]).catch((e: unknown) => e)
      assert.ok(error instanceof WorkerGoneError)
      assert.equal(error.exit.reason, reason)
      await Promise.all([down, up])
      assert.ok(lines.some((line) => line.includes(`this process ends: ${WORDS[value]}`)))
      const again = specOf(spec.file)
      await worker.open(again)
      assert.equal((await worker.run(again.placementId, [request(7)])).answers[0]?.ok, true)
    })
  }

  it('does not come up while its GPU is gone, on nothing else either, and comes up when it is back', async () => {
    unfit.length = 0
    await writeFile(gone, '')
    const missing = [once(events, 'unfit'), once(events, 'down')]
    worker.kill('stop')
    await Promise.all(missing)
    await once(events, 'unfit')
    assert.equal(worker.isUp, false)
    for (const error of unfit) assert.match(String(error), /cuda:0 cannot be used: no CUDA-capable device is detected/)
    const up = once(events, 'up')
    await rm(gone)
    await up
    assert.ok(worker.isUp)
  })
})

describe('the probe of a device', () => {
  it('says why it cannot be used', async () => {
    const options = { clock: systemClock, onLine: () => {} }
    await assert.rejects(probeDevice('cuda:99', options), {
      code: 'DEVICE_UNAVAILABLE',
      message: /^cuda:99 cannot be used: /,
    })
    await probeDevice('cpu', options)
  })

  it('outlives a driver that takes its process down', async () => {
    const entry = new URL('../support/children/dies-at-once.ts', import.meta.url)
    await assert.rejects(probeDevice('webgpu', { clock: systemClock, onLine: () => {}, entry }), {
      code: 'DEVICE_UNAVAILABLE',
      message: 'webgpu cannot be used: its driver ended the process (SIGABRT)',
    })
  })
})
