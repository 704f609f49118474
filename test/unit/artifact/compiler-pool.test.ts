import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { describe, it } from 'node:test'
import { COMPILER_DEFAULTS, CompilerPool, type CompilerTurn } from '../../../src/artifact/compiler-pool.ts'
import type { GatewayError } from '../../../src/domain/errors.ts'
import { ManualClock, settle } from '../../support/manual-clock.ts'
import { ScriptedSpawner } from '../../support/scripted-child.ts'

const MiB = 2 ** 20
const JOB = 9
const NEVER = new Promise<never>(() => {})

async function scene(context: TestContext) {
  const cache = await mkdtemp(join(tmpdir(), 'modelmux-compilers-'))
  const clock = new ManualClock()
  const spawner = new ScriptedSpawner()
  const options = { ...COMPILER_DEFAULTS, deadlineMs: 10_000, deadlineMsPerMiB: 100 }
  const pool = new CompilerPool(options, { clock, cache, spawn: spawner.spawn, onLine: () => {}, onEvent: () => {} })
  context.after(async () => {
    await pool.close(0)
    await rm(cache, { recursive: true, force: true })
  })
  const call = (turn: CompilerTurn, tenant = 'acme') => turn.call<string>(JOB, { tenant })
  const compile = (bytes: number, tenant = 'acme') => pool.compile(tenant, bytes, (turn) => call(turn, tenant))
  return {
    clock,
    spawner,
    compile,
    digest: () => pool.digest(0, (turn) => call(turn)),
    running: () => pool.running.small,
  }
}

describe('a compile', () => {
  for (const { bytes, limitMs } of [
    { bytes: 0, limitMs: 10_000 },
    { bytes: 50 * MiB, limitMs: 15_000 },
    { bytes: 1024 * MiB, limitMs: 112_400 },
  ]) {
    it(`of ${bytes / MiB} MiB may take ${limitMs} ms, then it is killed and that counts against the model`, async (context) => {
      const { clock, spawner, compile } = await scene(context)
      spawner.handle = () => new Promise<never>(() => {})
      const ended = compile(bytes).then(
        () => assert.fail('it ended well'),
        (error: GatewayError) => error,
      )
      await settle()
      await clock.advance(limitMs - 1)
      const [child] = spawner.children
      assert.equal(child?.isAlive, true)
      await clock.advance(1)
      assert.equal(child?.isAlive, false)
      const { code, facts } = await ended
      assert.deepEqual(
        [code, facts.details?.strike, facts.details?.deadlineMs],
        ['ARTIFACT_INVALID', 'deadline', limitMs],
      )
    })
  }

  it('has a memory cap that grows with the source', async (context) => {
    const { spawner, compile } = await scene(context)
    spawner.handle = () => [Buffer.from('"done"')]
    for (const bytes of [0, 1024 * MiB]) assert.equal(await compile(bytes), 'done')
    assert.deepEqual(
      spawner.children.map(({ options }) => (options.dataLimitBytes ?? 0) / MiB),
      [1024 + 4 * 16, 1024 + 4 * 1024],
    )
  })

  it('for which no process can be made is refused for now, and the next one is not', async (context) => {
    const { spawner, compile } = await scene(context)
    spawner.handle = () => [Buffer.from('"done"')]
    spawner.broken = new Error('EMFILE')
    for (let i = 0; i < 3; i++) await assert.rejects(compile(0), { code: 'OVERLOADED' })
    spawner.broken = undefined
    assert.equal(await compile(0), 'done')
  })

  it('keeps its own outcome when no process can be made after it', async (context) => {
    const { spawner, compile } = await scene(context)
    spawner.handle = () => {
      // It answers, and is gone before it can be used again.
      spawner.broken = new Error('EAGAIN')
      setImmediate(() => spawner.children[0]?.die())
      return [Buffer.from('"done"')]
    }
    assert.equal(await compile(0), 'done')
  })

  it('that never got the processor may take five times as long', async (context) => {
    const { clock, spawner, compile } = await scene(context)
    const idler = spawn('sleep', ['60'])
    context.after(() => idler.kill())
    spawner.pid = idler.pid
    spawner.handle = () => NEVER
    const ended = assert.rejects(compile(0), { code: 'ARTIFACT_INVALID', message: /longer than 50000 ms/ })
    await settle()
    await clock.advance(49_999)
    assert.equal(spawner.children[0]?.isAlive, true)
    await clock.advance(1)
    assert.equal(spawner.children[0]?.isAlive, false)
    await ended
  })
})

describe('a compile that takes long', () => {
  it('holds up nobody but its own tenant', async (context) => {
    const { clock, spawner, compile, running } = await scene(context)
    spawner.handle = (_kind, request) => (String(request).includes('hostile') ? NEVER : [Buffer.from('"done"')])
    const bombs = [0, 1].map(() => assert.rejects(compile(0, 'hostile'), { code: 'ARTIFACT_INVALID' }))
    await settle()
    const early = compile(0, 'acme')
    await clock.advance(999)
    assert.equal(spawner.children.length, 1, 'it may be about to end')
    await clock.advance(1)
    assert.equal(await early, 'done')
    assert.equal(await compile(0, 'globex'), 'done')
    assert.equal(running(), 1, 'the second bomb waits for the first')
    assert.deepEqual(
      spawner.children.map(({ runsLast }) => runsLast),
      [true, false],
      'and everybody goes before it',
    )
    spawner.children[0]?.die()
    await bombs[0]
    await settle()
    assert.equal(running(), 1)
    spawner.children.at(-1)?.die()
    await bombs[1]
  })

  it('is no reason for a third process beside it', async (context) => {
    const { clock, spawner, compile, running } = await scene(context)
    spawner.handle = () => NEVER
    const tenants = ['a', 'b', 'c', 'd', 'e']
    const ends = tenants.map((tenant) => assert.rejects(compile(0, tenant), { code: 'ARTIFACT_INVALID' }))
    await settle()
    for (const expected of [1, 2, 3, 3, 3]) {
      assert.equal(running(), expected)
      await clock.advance(1000)
    }
    for (let i = 0; i < tenants.length; i++) {
      for (const child of spawner.children) child.die()
      await settle()
    }
    await Promise.all(ends)
  })

  it('leaves no slow process to the next one', async (context) => {
    const { clock, spawner, compile } = await scene(context)
    const { promise, resolve } = Promise.withResolvers<Buffer[]>()
    let reply: Promise<Buffer[]> | Buffer[] = promise
    spawner.handle = () => reply
    const slow = compile(0)
    await settle()
    await clock.advance(1000)
    resolve([Buffer.from('"slow"')])
    assert.equal(await slow, 'slow')
    reply = [Buffer.from('"done"')]
    assert.equal(await compile(0), 'done')
    assert.deepEqual(
      spawner.children.map(({ runsLast }) => runsLast),
      [true, false],
    )
  })

  it('holds up no digest that requests wait for', async (context) => {
    const { spawner, compile, digest } = await scene(context)
    spawner.handle = () => NEVER
    const bomb = assert.rejects(compile(0), { code: 'ARTIFACT_INVALID' })
    await settle()
    spawner.handle = () => [Buffer.from('"whole"')]
    assert.equal(await digest(), 'whole')
    spawner.children[0]?.die()
    await bomb
  })
})
