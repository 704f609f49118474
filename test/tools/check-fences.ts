/** Command: holds the checkout against the import rules and the fences on globals; prints what breaks them. */
import { checkGlobals } from './check-globals.ts'
import { checkImports } from './check-imports.ts'
import type { Findings } from './finding.ts'

const root = process.cwd()
const checks: readonly (readonly [string, Promise<Findings>])[] = [
  ['import rules', checkImports(root)],
  ['fences on globals', checkGlobals(root)],
]

for (const [name, check] of checks) {
  const { files, findings } = await check
  for (const { rule, where, what } of findings) console.log(`${where}  ${rule}  ${what}`)
  console.log(`${name}: ${files} files, ${findings.length} findings`)
  if (files === 0 || findings.length > 0) process.exitCode = 1
}
