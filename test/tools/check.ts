/** Command: every check of the checkout, all of them even when one fails, with a line and a time for each. */
import { spawn } from 'node:child_process'
import { performance } from 'node:perf_hooks'

const CHECKS: readonly (readonly [name: string, command: string, ...args: string[]])[] = [
  ['format and lint', 'biome', 'check', '--error-on-warnings', '.'],
  ['typed lint', 'oxlint', '--deny-warnings'],
  ['types', 'tsc', '-p', 'tsconfig.json'],
  ['import rules and fences', process.execPath, 'test/tools/check-fences.ts'],
  ['planted violations', process.execPath, 'test/tools/prove-checks.ts'],
]

const failed: string[] = []
for (const [name, command, ...args] of CHECKS) {
  console.log(`\n== ${name}`)
  const start = performance.now()
  const passed = await succeeds(command, args)
  if (!passed) failed.push(name)
  console.log(`== ${name}: ${passed ? 'passed' : 'FAILED'} in ${((performance.now() - start) / 1000).toFixed(1)} s`)
}
if (failed.length > 0) {
  console.log(`\ncheck failed: ${failed.join(', ')}`)
  process.exitCode = 1
}

/** npm has put node_modules/.bin on PATH. */
async function succeeds(command: string, args: readonly string[]): Promise<boolean> {
  return new Promise((done, reject) => {
    spawn(command, args, { stdio: 'inherit' })
      .on('error', reject)
      .on('exit', (code) => {
        done(code === 0)
      })
  })
}
