/**
 * `npm run fuzz`: a million cases over all targets, or what the flags say. Ends with 1 on a finding, which it prints with the command
 * that shows it again, and writes the smallest input for it into a file.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { systemClock } from '../../src/lib/clock.ts'
import type { FoundCase } from './campaign.ts'
import { runCampaign } from './campaign.ts'
import { Judge } from './judge.ts'
import { TARGETS, targetNamed } from './targets/index.ts'

const USAGE = `npm run fuzz -- [--target NAME]... [--cases N] [--seed N] [--from N] [--input FILE]
  --target  ${TARGETS.map(({ name }) => name).join(', ')}; all when none is named
  --cases   of all targets together; 1000000 when not given
  --seed    another one each time when not given
  --from    number of the first case
  --input   judge this file alone, with the one target that is named`

const { values } = parseArgs({
  options: {
    target: { type: 'string', multiple: true, default: TARGETS.map(({ name }) => name) },
    cases: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: String((systemClock.wall() % 2 ** 31) | 0) },
    from: { type: 'string', default: '0' },
    input: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})

if (values.help) console.log(USAGE)
else if (values.input !== undefined) judgeFile(values.target[0] ?? '', values.input)
else process.exitCode = (await fuzzAll(values.target)) ? 0 : 1

async function fuzzAll(targets: readonly string[]): Promise<boolean> {
  const seed = Number(values.seed)
  const from = Number(values.from)
  const shares = targets.reduce((sum, target) => sum + targetNamed(target).share, 0)
  let isClean = true
  for (const target of targets) {
    const cases = Math.ceil((Number(values.cases) * targetNamed(target).share) / shares)
    const startedAt = systemClock.now()
    const seconds = (): string => ((systemClock.now() - startedAt) / 1000).toFixed(1)
    const outcome = await runCampaign({
      target,
      seed,
      from,
      cases,
      onProgress: (done) => {
        process.stderr.write(`\r${target}: ${done.cases} of ${cases} cases, ${done.accepted} read, ${seconds()} s `)
      },
    })
    process.stderr.write('\n')
    if (outcome.found === undefined) continue
    isClean = false
    report(target, outcome.found)
  }
  console.log(isClean ? `no findings with seed ${seed}` : 'there are findings')
  return isClean
}

function report(target: string, { kind, what, stack, seed, caseNumber, input, smallest }: FoundCase): void {
  const file = join(tmpdir(), `modelmux-fuzz-${target}-${seed}-${caseNumber}.bin`)
  writeFileSync(file, smallest)
  console.log(`FOUND in ${target}: ${kind}: ${what}${stack === undefined ? '' : `\n${stack}`}`)
  console.log(
    `  case ${caseNumber} of seed ${seed}, ${input.length} bytes; the smallest like it, ${smallest.length}: ${file}`,
  )
  console.log(`  again: npm run fuzz -- --target ${target} --seed ${seed} --from ${caseNumber} --cases 1`)
  console.log(`  or:    npm run fuzz -- --target ${target} --input ${file}`)
}

function judgeFile(name: string, file: string): void {
  console.log(new Judge(targetNamed(name)).judge(readFileSync(file)))
}
