import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { curlVersion } from '../../../loadtest/bench/curl-ranges.ts'
import type { BenchResult } from '../../../loadtest/report/bench-result.ts'
import { formatCell } from '../../../loadtest/report/format.ts'
import { noS3Server } from '../../support/s3-server.ts'

const BENCH = fileURLToPath(new URL('../../../loadtest/bench.ts', import.meta.url))

interface Ended {
  readonly code: number
  readonly out: string
  readonly err: string
}

function bench(...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, ['--no-warnings', BENCH, ...args], (_, out, err) => {
      resolve({ code: child.exitCode ?? -1, out, err })
    })
  })
}

describe('bench', async () => {
  const hasCurl = (await curlVersion()) !== undefined || process.env.CI === 'true'
  const folder = await mkdtemp(join(tmpdir(), 'modelmux-bench-'))
  after(() => rm(folder, { recursive: true, force: true }))

  it('measures cold starts through all their states, every answer the one ONNX Runtime gives', async () => {
    const { code, out, err } = await bench('b6', '--quick', '--reps', '2', '--classes', 'S', '--json', '--out', folder)
    assert.equal(code, 0, err)
    const result = JSON.parse(out) as BenchResult
    assert.deepEqual([result.bench, result.isQuick, result.wrong, result.errors], ['B6', true, 0, 0])
    assert.equal(result.command, 'npm run bench -- b6 --quick --reps 2 --classes S')
    const counts = result.tables[0]?.rows.map((row) => row.slice(0, 3).map(formatCell).join(' | '))
    assert.deepEqual(counts, [
      'S | first touch, source dropped | 1',
      'S | first touch | 1',
      'S | pages dropped | 2',
      'S | cached | 2',
    ])
    assert.ok(result.gates.every(({ value }) => Number.isFinite(value)))
    const files = await readdir(folder)
    for (const name of ['B6-quick.json', 'B6-quick.md', 'B6-quick-first-answer.svg'])
      assert.ok(files.includes(name), name)
    assert.match(await readFile(join(folder, 'B6-quick-first-answer.svg'), 'utf8'), /^<svg /)
    assert.doesNotMatch(out, new RegExp(`${tmpdir()}|${process.cwd()}`))
  })

  it('brings cold models from S3 beside curl, in one call more than the ranges take', {
    skip: hasCurl ? noS3Server : 'no curl',
  }, async () => {
    const { code, out, err } = await bench('b6s', '--quick', '--json', '--out', folder)
    assert.equal(code, 0, err)
    const result = JSON.parse(out) as BenchResult
    assert.deepEqual([result.bench, result.wrong, result.errors], ['B6S', 0, 0])
    assert.deepEqual(result.tables[1]?.rows, [['S', 1, 0, 1, 0]])
    assert.ok(result.gates.every(({ value }) => Number.isFinite(value)))
    assert.doesNotMatch(out, new RegExp(`${tmpdir()}|${process.cwd()}`))
  })

  it('lists what there is when nothing is asked for, and names what there is not', async () => {
    const list = await bench()
    assert.equal(list.code, 0)
    for (const name of ['B3', 'B6', 'B6S', 'B7', 'B8', 'B9', 'B10', 'B11'])
      assert.match(list.out, new RegExp(`^  ${name} `, 'm'))
    const unknown = await bench('B99')
    assert.equal(unknown.code, 1)
    assert.match(unknown.err, /there is no bench B99/)
    assert.match((await bench('B11', '--reps', '0')).err, /--reps is 0, expected a positive integer/)
    assert.match((await bench('B6', '--classes', 'Z')).err, /--classes has 'Z', expected some of XS, S, M/)
  })
})
