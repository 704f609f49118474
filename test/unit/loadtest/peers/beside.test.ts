import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { BenchContext } from '../../../../loadtest/bench/bench.ts'
import { LoadSamples } from '../../../../loadtest/bench/samples.ts'
import type { LoadPlan, LoadReport } from '../../../../loadtest/generator/plan.ts'
import { besideRayServe, besideTables, keyOf, type PeerRun } from '../../../../loadtest/peers/beside.ts'
import { formatCell } from '../../../../loadtest/report/format.ts'

const LATENCY = { count: 1, mean: 1, p50: 1, p95: 1, p99: 1, max: 1 }
const PLAN: LoadPlan = {
  target: { host: '127.0.0.1', port: 1 },
  groups: [],
  encoding: 'json',
  rows: 1,
  inputsPerModel: 1,
  popularity: { kind: 'uniform' },
  pace: { kind: 'closed', connections: 1 },
  seed: 1,
  warmUpSeconds: 0,
  seconds: 1,
  maxRequests: 1,
  timeoutMs: 1,
  check: 'all',
  progressMs: 0,
}
const LOAD = { name: 'c = 1', cells: [1], plan: PLAN }

function report(rps: number): LoadReport {
  return {
    seconds: 1,
    rps,
    latency: LATENCY,
    lateness: LATENCY,
    answered: rps,
    wrong: 0,
    errors: rps === 0 ? { connection: 1 } : {},
    cache: {},
    generatorCpu: 0,
  }
}

/** A run in which repetition i gave `ours[i]` and `theirs[i]` answers a second. */
function runOf(ours: readonly number[], theirs: readonly number[]): PeerRun {
  const samples = new LoadSamples()
  for (const rps of ours) samples.add(keyOf('modelmux', LOAD), report(rps))
  for (const rps of theirs) samples.add(keyOf('Ray Serve', LOAD), report(rps))
  return { note: '', isMeasured: true, loads: [LOAD], samples }
}

function ratioCells(run: PeerRun): string[] {
  return besideTables(run, [{ title: 'c' }]).flatMap(({ rows }) => rows.map((row) => formatCell(row.at(-1))))
}

describe('a peer beside modelmux', () => {
  it('is compared repetition by repetition, in modelmux’s row', () => {
    const [theirs, ours] = ratioCells(runOf([100, 300, 200], [10, 10, 10]))
    assert.equal(theirs, '-')
    assert.match(ours ?? '', /^20\b.*10.*30/)
  })

  it('is not beaten by any factor where it gave no answer', () => {
    assert.deepEqual(ratioCells(runOf([100, 100], [10, 0])), ['-', '-'])
  })

  it('has no table where it was not measured', () => {
    const run: PeerRun = { note: '', isMeasured: false, loads: [LOAD], samples: new LoadSamples() }
    assert.deepEqual(besideTables(run, [{ title: 'c' }]), [])
  })

  it('is not measured, and nothing is started, unless asked for', async () => {
    const context: BenchContext = {
      reps: 1,
      scale: 1,
      classes: undefined,
      isQuick: true,
      withPeers: false,
      folder: '/nonexistent',
      signal: new AbortController().signal,
      progress: () => {},
    }
    const run = await besideRayServe(context, {
      models: '/nonexistent',
      wanted: 1,
      bytesPerModel: 1,
      warmUps: [PLAN],
      loads: [LOAD],
    })
    assert.equal(run.note, 'Ray Serve: not measured (run with --peers to install and measure it).')
    assert.deepEqual([run.isMeasured, run.samples.values(keyOf('modelmux', LOAD), ({ rps }) => rps)], [false, []])
  })
})
