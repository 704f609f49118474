/** The README's tables against the code's, in both directions. */
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { curlLine } from '../../loadtest/demo/curl-line.ts'
import { FAULT_ROWS } from '../../loadtest/faults/index.ts'
import { modelClass } from '../../loadtest/models/index.ts'
import { COMPILE_FLAGS } from '../../src/cli/compile-flags.ts'
import { PUBLISH_FLAGS } from '../../src/cli/publish-flags.ts'
import { PURGE_FLAGS } from '../../src/cli/purge-flags.ts'
import { TOP_FLAGS } from '../../src/cli/top-flags.ts'
import { groupOf, leavesOf } from '../../src/config/leaves.ts'
import { configSchema } from '../../src/config/schema.ts'
import { ERRORS } from '../../src/domain/errors.ts'
import { METRICS } from '../../src/telemetry/metric-table.ts'

const README = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')

/** Cells of a marked table, without its head; code marks are dropped. */
function tableOf(name: string): string[][] {
  const table = new RegExp(`<!-- table: ${name} -->\\n([\\s\\S]*?)<!-- end -->`).exec(README)?.[1]
  assert.ok(table, `the README has a table ${name}`)
  const rows = table.trim().split('\n').slice(2)
  return rows.map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.replaceAll('`', '').trim()),
  )
}

describe('the README', () => {
  it("shows the demo's line to paste, and the answer that customer's own weights give", () => {
    const recipe = { customer: 42, family: 'head', seed: 1 } as const
    const { command, expected } = curlLine('http://127.0.0.1:8080', modelClass('XS'), recipe, 64)
    assert.ok(README.includes(`\n${command}\n`))
    const answer = /^\{"model_name":"customer-0042\/churn".*\}$/m.exec(README)?.[0]
    assert.ok(answer !== undefined)
    const { outputs } = JSON.parse(answer) as { outputs: { data: number[] }[] }
    const data = outputs[0]?.data ?? []
    assert.equal(data.length, expected.length)
    for (const [i, value] of expected.entries()) assert.ok(Math.abs((data[i] ?? Number.NaN) - value) < 1e-4)
  })

  it('lists every error with its status, retry advice, blame and cause, each with a remedy', () => {
    const rows = tableOf('errors')
    assert.deepEqual(
      rows.map((row) => row.slice(0, 5)),
      Object.entries(ERRORS).map(([code, { status, retry, countsAgainst, meaning }]) => [
        code,
        String(status),
        retry,
        countsAgainst,
        meaning,
      ]),
    )
    for (const [code, , , , , remedy] of rows)
      assert.ok(remedy !== undefined && remedy.length > 3, `${code} has a remedy`)
  })

  it('lists every metric with its type, labels and help', () => {
    assert.deepEqual(
      tableOf('metrics'),
      Object.entries(METRICS).map(([name, { type, labels, help }]) => [
        name,
        type,
        labels.join(', '),
        help.replaceAll('`', ''),
      ]),
    )
  })

  it('lists every field of the configuration with its meaning', () => {
    assert.deepEqual(
      tableOf('config').map(([field, , meaning]) => [field, meaning]),
      leavesOf(groupOf(configSchema)).map(({ path, facts }) => [path.join('.'), facts.description.replaceAll('`', '')]),
    )
  })

  it('promises nothing without a test or a fault run that there is, and names every fault run', () => {
    const files = globSync('test/**/*.test.ts', { cwd: new URL('../..', import.meta.url) })
    const drilled = new Set<number>()
    const known = new Set(FAULT_ROWS.map(({ number }) => number))
    for (const [promise = '', , shownBy = ''] of tableOf('promises')) {
      if (promise.startsWith('**')) continue
      assert.notEqual(shownBy, '', promise)
      for (const [test] of shownBy.matchAll(/[\w/-]+\.test/g)) {
        const named = files.filter((file) => file.endsWith(`/${test}.ts`))
        assert.equal(named.length, 1, `${promise}: ${test} is one file`)
      }
      const [, drills = ''] = /faults ([\d, and-]+)/.exec(shownBy) ?? []
      for (const [, from, to = from] of drills.matchAll(/(\d+)(?:-(\d+))?/g))
        for (let row = Number(from); row <= Number(to); row += 1) {
          assert.ok(known.has(row), `${promise}: faults ${row} is a fault run`)
          drilled.add(row)
        }
    }
    assert.deepEqual(
      [...drilled].toSorted((a, b) => a - b),
      [...known],
    )
  })

  it('names only flags that there are', async () => {
    const { SERVE_FLAGS } = await import('../../src/config/flags.ts')
    const flags = new Set(Object.keys(SERVE_FLAGS))
    const others = new Set<string>([
      ...COMPILE_FLAGS,
      ...PUBLISH_FLAGS,
      ...PURGE_FLAGS,
      ...TOP_FLAGS,
      // Of the demo, the benches and the fault drills.
      'traffic',
      'quick',
      'reps',
      'classes',
      'scale',
      'peers',
      'readme',
      'enforce',
      'rows',
      'list',
      'onnxruntime-node-install',
      // Of Docker Compose and of curl.
      'build',
      'wait',
      'parallel',
    ])
    for (const [, flag = ''] of README.matchAll(/(?<![\w-])--([a-z][a-z-]+)/g)) {
      assert.ok(flags.has(flag) || others.has(flag), `--${flag} is a flag`)
    }
  })
})
