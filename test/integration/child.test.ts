import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { ChildCalls, ChildGoneError } from '../../src/child/calls.ts'
import type { Child, SpawnOptions } from '../../src/child/spawn.ts'
import { awaitExit, spawnChild } from '../../src/child/spawn.ts'
import { systemClock } from '../../src/lib/clock.ts'

const GRACE_MS = 30_000

interface Told {
  readonly env: Record<string, string>
  readonly args: string[]
  readonly priority: number
}

function start(options: Partial<SpawnOptions> = {}): { child: Child; calls: ChildCalls; lines: string[] } {
  const lines: string[] = []
  const entry = new URL('../support/children/tells.ts', import.meta.url)
  const child = spawnChild({ entry, onLine: (stream, line) => lines.push(`${stream}: ${line}`), ...options })
  return { child, calls: new ChildCalls(child.channel), lines }
}

async function ask(calls: ChildCalls): Promise<Told> {
  return JSON.parse((await calls.call(1, [])).toString()) as Told
}

describe('a child process', () => {
  it('inherits where programs are and what it is given, and no credentials', async () => {
    process.env.AWS_SECRET_ACCESS_KEY = 'secret'
    const { child, calls } = start({ env: { EXTRA: 'yes' }, args: ['one', 'two words'] })
    delete process.env.AWS_SECRET_ACCESS_KEY
    const { env, args } = await ask(calls)
    assert.equal(env.PATH, process.env.PATH)
    assert.equal(env.EXTRA, 'yes')
    assert.equal(env.AWS_SECRET_ACCESS_KEY, undefined)
    assert.deepEqual(args, ['one', 'two words'])
    calls.end()
    assert.deepEqual(await child.exited, { code: 0, signal: null })
  })

  it('has its lines handed on, also the last one without an end', async () => {
    const { child, calls, lines } = start()
    await ask(calls)
    calls.end()
    await child.exited
    // The pipes may hold the last lines a little longer than the process lived.
    while (lines.length < 3) await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual(lines.toSorted(), ['stderr: on stderr', 'stderr: without an end', 'stdout: on stdout'])
  })

  it('that cannot be made at all is an error to catch, not one that ends the parent', () => {
    const { execPath } = process
    process.execPath = '/nowhere/node'
    try {
      assert.throws(() => start(), /cannot start/)
    } finally {
      process.execPath = execPath
    }
  })

  it('works in the background when asked to', async () => {
    const { child, calls } = start({ isBackground: true })
    assert.ok((await ask(calls)).priority > 0)
    calls.end()
    await child.exited
  })

  it('cannot have more memory than it is allowed', async () => {
    const { child, calls } = start({ dataLimitBytes: 64 * 2 ** 20 })
    await assert.rejects(ask(calls), ChildGoneError)
    const { code, signal } = await child.exited
    assert.ok(code !== 0 || signal !== null)
  })

  it('leaves it to its parent when to end, whatever signals its group gets', async () => {
    const { child, calls } = start()
    await ask(calls)
    process.kill(child.pid, 'SIGTERM')
    process.kill(child.pid, 'SIGINT')
    assert.ok((await ask(calls)).args.length === 0)
    calls.end()
    assert.deepEqual(await awaitExit(child, GRACE_MS, systemClock), { code: 0, signal: null })
  })

  it('is killed when it outlives the grace', async () => {
    const { child, calls } = start({ entry: new URL('../support/children/never-ends.ts', import.meta.url) })
    await calls.call(1, [])
    calls.end()
    assert.deepEqual(await awaitExit(child, 1, systemClock), { code: null, signal: 'SIGKILL' })
  })

  it('ends when its parent is killed', async () => {
    const file = fileURLToPath(new URL('../support/children/parent-of-one.ts', import.meta.url))
    const parent = spawn(process.execPath, ['--no-warnings', file], { stdio: ['ignore', 'pipe', 'inherit'] })
    const [printed] = (await once(parent.stdout, 'data')) as [Buffer]
    const pid = Number(printed.toString())
    process.kill(pid, 0)
    parent.kill('SIGKILL')
    const watcher = spawn('tail', ['--pid', String(pid), '-s', '0.02', '-f', '/dev/null'], { stdio: 'ignore' })
    assert.deepEqual(await once(watcher, 'exit'), [0, null])
  })
})
