import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { describe, it } from 'node:test'
import { COMPILER_DEFAULTS, CompilerPool } from '../../../src/artifact/compiler-pool.ts'
import type { GatewayError } from '../../../src/domain/errors.ts'
import { ManualClock, settle } from '../../support/manual-clock.ts'
import { ScriptedSpawner } from '../../support/scripted-child.ts'

const MiB = 2 ** 20
const JOB = 9

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
  const compile = (bytes: number) => pool.compile('acme', bytes, (turn) => turn.call<string>(JOB, {}))
  return { clock, spawner, compile }
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
})
