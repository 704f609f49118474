import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ChildCalls } from '../../src/child/calls.ts'
import { OrphanGuard } from '../../src/child/orphan-guard.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { eventually, until } from '../support/eventually.ts'
import { isAlive } from '../support/server-process.ts'

const NEVER_ENDS = new URL('../support/children/never-ends.ts', import.meta.url)

describe('the guard of orphans', () => {
  it('starts its shell again when that dies, and lets it go when it closes', async () => {
    const guard = new OrphanGuard(systemClock)
    const first = guard.pid ?? 0
    assert.ok(isAlive(first))
    process.kill(first, 'SIGKILL')
    const second = await eventually('there is another shell', () => (guard.pid === first ? undefined : guard.pid))
    guard.close()
    await until('the shells are gone', () => !isAlive(first) && !isAlive(second))
  })

  it('minds no signal that goes to the whole group', async () => {
    const guard = new OrphanGuard(systemClock)
    const pid = guard.pid ?? 0
    const child = guard.spawn({ entry: NEVER_ENDS, onLine: () => {} })
    await new ChildCalls(child.channel).call(1, [])
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.kill(pid, signal)
    child.kill()
    await child.exited
    assert.ok(isAlive(pid))
    guard.close()
  })
})
