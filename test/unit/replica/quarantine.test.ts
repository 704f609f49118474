import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { GatewayError } from '../../../src/domain/errors.ts'
import type { QuarantineRecord } from '../../../src/domain/quarantine.ts'
import type { QuarantineOptions } from '../../../src/replica/quarantine.ts'
import { Quarantine } from '../../../src/replica/quarantine.ts'
import { ManualClock, settle } from '../../support/manual-clock.ts'
import { modelVersion } from '../../support/model-version.ts'
import { QuarantineShelf } from '../../support/quarantine-shelf.ts'

const churn = modelVersion('acme/churn')
const CRASH = { reason: 'crash', phase: 'run', how: 'SIGFPE', process: 'worker-0' } as const

function body(text: string) {
  const bytes = Buffer.from(text)
  return { body: [bytes], bodyBytes: bytes.length }
}

function make(changes: Partial<QuarantineOptions> = {}, shelf = new QuarantineShelf()) {
  const clock = new ManualClock()
  const told: string[] = []
  const quarantine = new Quarantine({
    clock,
    rules: { strikes: 2, windowMs: 600_000 },
    expireMs: null,
    conditions: { work: 'engine 1', compile: 'engine 1, cap 1' },
    records: shelf,
    initial: [...shelf.files.values()],
    watch: {
      onStruck: () => {},
      onQuarantined: ({ key }) => told.push(`quarantined ${key}`),
      onReleased: ({ key }, reason) => told.push(`released ${key} ${reason}`),
      onWriteFailed: ({ key }) => told.push(`unwritten ${key}`),
    },
    ...changes,
  })
  return { quarantine, clock, shelf, told }
}

function strikeTwice(quarantine: Quarantine): void {
  quarantine.strike(churn, CRASH, body('a'))
  quarantine.strike(churn, CRASH, body('b'))
}

async function quarantined() {
  const scene = make()
  strikeTwice(scene.quarantine)
  await settle()
  return scene
}

function strikeError(strike: string): GatewayError {
  return new GatewayError('ARTIFACT_INVALID', 'it is too much', { details: { strike, signal: 'SIGSEGV' } })
}

const killed = () => new GatewayError('MODEL_LOAD_FAILED', 'killed from outside', { details: { signal: 'SIGKILL' } })

describe('a quarantine', () => {
  it('is of one key: other bytes under the same name, and other models, are served', async () => {
    const { quarantine } = await quarantined()
    assert.equal(quarantine.refusal(churn)?.code, 'MODEL_QUARANTINED')
    assert.equal(quarantine.refusal(modelVersion('acme/churn', '1', 'other-bytes')), undefined)
    assert.equal(quarantine.refusal(modelVersion('acme/other')), undefined)
    quarantine.close()
  })

  it('is on disk, and still there after a restart', async () => {
    const { quarantine, shelf } = await quarantined()
    quarantine.close()
    const record = shelf.files.get(churn.key)
    assert.equal(record?.strikes.length, 2)
    assert.ok(record?.strikes.every(({ body: digest }) => /^[0-9a-f]{64}$/.test(digest ?? '')))
    const { quarantine: next, told } = make({}, shelf)
    assert.equal(next.refusal(churn)?.code, 'MODEL_QUARANTINED')
    assert.match(next.refusal(churn)?.message ?? '', /ended 2 worker processes by itself/)
    assert.deepEqual(told, [])
    next.close()
  })

  it('is void after a restart with another engine', async () => {
    const { quarantine, shelf } = await quarantined()
    quarantine.close()
    const { quarantine: next } = make({ conditions: { work: 'engine 2', compile: 'engine 2, cap 1' } }, shelf)
    assert.equal(next.refusal(churn), undefined)
    await settle()
    assert.equal(shelf.files.size, 0)
    next.close()
  })

  it('ends within a second of its file’s removal, and strikes count anew', async () => {
    const { quarantine, shelf, clock, told } = await quarantined()
    await clock.advance(5000)
    assert.equal(quarantine.size, 1)
    shelf.files.clear()
    await clock.advance(1000)
    assert.equal(quarantine.refusal(churn), undefined)
    assert.deepEqual(told.at(-1), `released ${churn.key} file-removed`)
    assert.equal(clock.pendingTimers, 0, 'nothing to look at, so nobody looks')
    quarantine.strike(churn, CRASH, body('a'))
    assert.equal(quarantine.refusal(churn), undefined)
    quarantine.close()
  })

  it('does not end because the folder cannot be looked at, nor before its file was written', async () => {
    const { quarantine, shelf, clock } = await quarantined()
    shelf.isAway = true
    shelf.files.clear()
    await clock.advance(3000)
    assert.equal(quarantine.size, 1)
    quarantine.close()
    const full = new QuarantineShelf()
    full.isFull = true
    const second = make({}, full)
    strikeTwice(second.quarantine)
    await second.clock.advance(3000)
    assert.equal(second.quarantine.size, 1, 'a full disk releases nobody')
    assert.deepEqual(second.told, [`quarantined ${churn.key}`, `unwritten ${churn.key}`])
    second.quarantine.close()
  })

  it('ends by itself where that is asked for, also after a restart', async () => {
    const { quarantine, clock, told, shelf } = make({ expireMs: 60_000 })
    strikeTwice(quarantine)
    await clock.advance(58_000)
    assert.equal(quarantine.size, 1)
    const record = shelf.files.get(churn.key)
    await clock.advance(3000)
    assert.equal(quarantine.size, 0)
    assert.equal(shelf.files.size, 0)
    assert.deepEqual(told.at(-1), `released ${churn.key} expired`)
    assert.ok(record)
    shelf.files.set(churn.key, { ...record, since: clock.wall() - 60_000 })
    const next = make({ expireMs: 60_000, clock }, shelf)
    assert.equal(next.quarantine.size, 0)
  })

  it('ends when it is asked to', async () => {
    const { quarantine, shelf, told } = await quarantined()
    assert.equal(await quarantine.release(churn.key), true)
    assert.equal(await quarantine.release(churn.key), false)
    assert.equal(shelf.files.size, 0)
    assert.deepEqual(told.at(-1), `released ${churn.key} asked`)
  })

  it('released while its file is being written leaves no file', async () => {
    const { quarantine, shelf } = make()
    const { promise, resolve } = Promise.withResolvers<void>()
    const write = shelf.write.bind(shelf)
    shelf.write = async (record: QuarantineRecord) => {
      await promise
      await write(record)
    }
    strikeTwice(quarantine)
    await quarantine.release(churn.key)
    resolve()
    await settle()
    assert.equal(shelf.files.size, 0)
  })

  it('of a key that nobody knows any more is forgotten after a month', async () => {
    const { quarantine, clock, shelf } = await quarantined()
    quarantine.sweep(() => false)
    assert.equal(quarantine.size, 1, 'a folder may come back')
    clock.jumpWall(31 * 86_400_000)
    quarantine.sweep(() => true)
    assert.equal(quarantine.size, 1, 'the registry lists it')
    quarantine.sweep(() => false)
    await settle()
    assert.deepEqual([quarantine.size, shelf.files.size], [0, 0])
  })
})

describe('a compile that proves a model bad', () => {
  for (const strike of ['crash', 'deadline']) {
    it(`by ${strike} is remembered beyond a restart`, async () => {
      const { quarantine, shelf } = make()
      quarantine.compileFailed(churn, strikeError(strike))
      await settle()
      quarantine.close()
      const next = make({}, shelf)
      const refusal = next.quarantine.refusal(churn)
      assert.equal(refusal?.code, 'ARTIFACT_INVALID')
      assert.match(refusal?.message ?? '', /^it is too much; refused since .* remove quarantine\//)
      next.quarantine.close()
    })
  }

  it('is tried again after a restart with other limits', async () => {
    const { quarantine, shelf } = make()
    quarantine.compileFailed(churn, strikeError('deadline'))
    await settle()
    quarantine.close()
    const next = make({ conditions: { work: 'engine 1', compile: 'engine 1, cap 2' } }, shelf)
    assert.equal(next.quarantine.refusal(churn), undefined)
  })

  it('is no other failure', () => {
    const { quarantine } = make()
    quarantine.compileFailed(churn, new GatewayError('ARTIFACT_INVALID', 'not ONNX'))
    quarantine.compileFailed(churn, new GatewayError('MODEL_LOAD_FAILED', 'the disk'))
    quarantine.compileFailed(churn, new GatewayError('CAPACITY_EXHAUSTED', 'no memory'))
    assert.equal(quarantine.size, 0)
  })

  it('is one whose compiler was killed from outside five times in a row, and not before', () => {
    const { quarantine } = make()
    for (let i = 0; i < 4; i++) quarantine.compileFailed(churn, killed())
    quarantine.compiled(churn)
    for (let i = 0; i < 4; i++) quarantine.compileFailed(churn, killed())
    assert.equal(quarantine.size, 0)
    quarantine.compileFailed(churn, killed())
    assert.equal(quarantine.refusal(churn)?.code, 'ARTIFACT_INVALID')
    assert.match(quarantine.refusal(churn)?.message ?? '', /killed from outside 5 times in a row/)
    quarantine.close()
  })
})

describe('a look at the files', () => {
  it('that began before a key was released and struck again does not release it a second time', async () => {
    const { quarantine, clock, shelf, told } = await quarantined()
    const looked = Promise.withResolvers<ReadonlySet<string>>()
    shelf.present = () => looked.promise
    await clock.advance(1000)
    await quarantine.release(churn.key)
    strikeTwice(quarantine)
    await settle()
    looked.resolve(new Set())
    await settle()
    assert.deepEqual(told, [`quarantined ${churn.key}`, `released ${churn.key} asked`, `quarantined ${churn.key}`])
    assert.equal(quarantine.refusal(churn)?.code, 'MODEL_QUARANTINED')
    quarantine.close()
  })
})
