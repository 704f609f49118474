import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { readmeRows } from '../../../../loadtest/report/readme-rows.ts'

const gate = { name: 'share', value: 0.42, unit: 'x', limit: 0.3, bound: 'at least' }

it('rows for the README come from full runs only, by number, and say of each gate whether it was met', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'modelmux-rows-'))
  const write = (name: string, content: unknown) => writeFile(join(folder, name), JSON.stringify(content))
  await write('B11.json', { bench: 'B11', gates: [gate, { ...gate, name: 'peer', value: Number.NaN }] })
  await write('B3.json', {
    bench: 'B3',
    gates: [{ ...gate, name: 'errors', unit: '', value: 2, limit: 0, bound: 'at most' }],
  })
  await write('B6S.json', { bench: 'B6S', gates: [gate] })
  await write('B6.json', { bench: 'B6', gates: [gate] })
  await write('B7-quick.json', { bench: 'B7', gates: [gate] })
  await write('faults.json', {
    results: [
      {
        fault: 'disk full',
        injected: 'a file',
        expected: '507',
        limitSeconds: 5,
        seconds: 0.04,
        verdict: 'passed',
        measured: '',
      },
      {
        fault: 'no GPU',
        injected: 'none',
        expected: 'an end',
        limitSeconds: 5,
        verdict: 'not run',
        measured: 'needs a GPU',
      },
    ],
  })
  assert.deepEqual((await readmeRows(folder)).split('\n'), [
    '| Bench | Figure | Measured | Wanted | Met |',
    '|---|---|---|---|---|',
    '| B3 | errors | 2 | at most 0 | **no** |',
    '| B6 | share | 0.420 x | at least 0.300 x | yes |',
    '| B6S | share | 0.420 x | at least 0.300 x | yes |',
    '| B11 | share | 0.420 x | at least 0.300 x | yes |',
    '| B11 | peer | - x | at least 0.300 x | not measured |',
    '',
    '| Fault | Injected | Promise | Limit | Measured | Held |',
    '|---|---|---|---|---|---|',
    '| disk full | a file | 507 | 5 s | 0.0400 s | yes |',
    '| no GPU | none | an end | 5 s | needs a GPU | not run |',
    '',
  ])
  await rm(folder, { recursive: true })
})
