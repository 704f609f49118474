import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'

const MODULE = new URL('../../../src/child/kill-points.ts', import.meta.url)
const SPAWN = new URL('../../../src/child/spawn.ts', import.meta.url)
const PASSES = fileURLToPath(new URL('../../support/children/passes-kill-point.ts', import.meta.url))

interface Outcome {
  readonly stdout: string
  readonly stderr: string
  readonly signal: NodeJS.Signals | null
}

/** Runs a script in a process of its own, where the functions of the module are in scope. */
function run(script: string, at?: string): Promise<Outcome> {
  const code = `const { killPoint, withoutKillPoints } = await import(${JSON.stringify(MODULE)})
    const say = (text) => process.stdout.write(text)
    ${script}`
  const env = { PATH: process.env.PATH, ...(at === undefined ? {} : { KILL_MODELMUX_AT: at }) }
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      ['--no-warnings', '--input-type=module', '-e', code],
      { env },
      (_error, stdout, stderr) => resolve({ stdout, stderr, signal: child.signalCode }),
    )
  })
}

describe('a kill point', () => {
  it('does nothing unless it is named', async () => {
    const passes = `killPoint('graph'); say('alive')`
    assert.deepEqual(await run(passes), { stdout: 'alive', stderr: '', signal: null })
    assert.deepEqual(await run(passes, 'blob'), { stdout: 'alive', stderr: '', signal: null })
  })

  it('ends its process with SIGKILL at the passage that is named', async () => {
    const passes = `for (let i = 1; i <= 3; i++) { say(String(i)); killPoint('graph') }`
    assert.deepEqual(await run(passes, 'graph'), { stdout: '1', stderr: '', signal: 'SIGKILL' })
    assert.deepEqual(await run(passes, 'graph:3'), { stdout: '123', stderr: '', signal: 'SIGKILL' })
  })

  it('does not count what is suspended', async () => {
    const passes = `await withoutKillPoints(async () => killPoint('graph')); say('alive'); killPoint('graph')`
    assert.deepEqual(await run(passes, 'graph'), { stdout: 'alive', stderr: '', signal: 'SIGKILL' })
  })

  it('refuses an order that would kill nothing', async () => {
    for (const order of ['garph', 'graph:0', 'graph+all']) {
      const { stderr } = await run(`say('alive')`, order)
      assert.match(stderr, /expected one of staging, digest/)
    }
  })

  it('is inherited by children, which take the server with them where that is said', async () => {
    const script = `
      const { spawnChild } = await import(${JSON.stringify(SPAWN)})
      const child = spawnChild({ entry: new URL(${JSON.stringify(`file://${PASSES}`)}), onLine: () => {} })
      say((await child.exited).signal)`
    assert.deepEqual(await run(script, 'graph'), { stdout: 'SIGKILL', stderr: '', signal: null })
    assert.deepEqual(await run(script, 'graph+server'), { stdout: '', stderr: '', signal: 'SIGKILL' })
  })
})
