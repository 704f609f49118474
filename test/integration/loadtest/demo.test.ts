import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { largestDeviation } from '../../../loadtest/models/index.ts'

const DEMO = fileURLToPath(new URL('../../../loadtest/demo.ts', import.meta.url))

interface Demo {
  /** Resolves with everything on stdout so far as soon as it matches. */
  shows(pattern: RegExp): Promise<string>
  interrupt(): void
  /** Resolves with the exit code and all of stdout. */
  readonly ended: Promise<{ code: number | null; out: string }>
}

function startDemo(folder: string, ...flags: string[]): Demo {
  const args = ['--no-warnings', DEMO, '--port', '0', '--dir', folder, '--models', '5', ...flags]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let out = ''
  let err = ''
  let look = (): void => {}
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text
    look()
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text
  })
  const ended = new Promise<{ code: number | null; out: string }>((resolve) => {
    child.once('close', (code) => resolve({ code, out }))
  })
  return {
    ended,
    interrupt: () => child.kill('SIGINT'),
    shows: (pattern) =>
      new Promise((resolve, reject) => {
        look = () => {
          if (pattern.test(out)) resolve(out)
        }
        look()
        child.once('close', (code) => reject(new Error(`the demo ended with ${code}:\n${out}\n${err}`)))
      }),
  }
}

describe('demo', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'modelmux-demo-'))
  after(() => rm(folder, { recursive: true, force: true }))

  it('prints a curl line that works as pasted, with the answer it expects, and ends with 0 on Ctrl-C', async () => {
    const demo = startDemo(folder)
    const out = await demo.shows(/Ctrl-C drains/)
    const command = /^curl .*$/m.exec(out)?.[0] ?? ''
    const expected = JSON.parse(/^\[.*\]$/m.exec(out)?.[0] ?? '[]') as number[]
    const { stdout } = await promisify(execFile)('sh', ['-c', command])
    const { outputs } = JSON.parse(stdout) as { outputs: { name: string; data: number[] }[] }
    assert.equal(outputs[0]?.name, 'scores')
    assert.ok(
      largestDeviation(outputs[0].data, expected) < 1e-3,
      `[${outputs[0].data.join()}] is not [${expected.join()}]`,
    )
    demo.interrupt()
    assert.equal((await demo.ended).code, 0)
  })

  it('drives traffic over all models on what the first run left, and sees only right answers', async () => {
    const demo = startDemo(folder, '--traffic', '--seconds', '3')
    const { code, out } = await demo.ended
    assert.equal(code, 0, out)
    assert.match(out, /hit ratio/)
    assert.match(out, /[1-9]\d* right answers in .* 0 wrong, 0 errors/)
  })
})
