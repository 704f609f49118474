/** What B11's measurements amount to, and the settings that they were taken at. */
import type { Encoding, LoadReport } from '../generator/plan.ts'
import { pairedRatio, type Spread, spreadOf } from '../measure/statistics.ts'
import { besideTables, type PeerRun } from '../peers/beside.ts'
import type { BenchFindings, Chart, Gate, Table } from '../report/bench-result.ts'
import type { DirectReport } from './engine-process.ts'
import { LOAD_COLUMNS, type LoadSamples, loadCells } from './samples.ts'

export const ENCODINGS: readonly Encoding[] = ['json', 'binary']
const CONCURRENCIES = [1, 32, 128] as const
/** One model is the gate; several show what is left of it when requests cannot all be stacked. */
export const MODEL_COUNTS = [1, 16] as const

export interface Setting {
  readonly encoding: Encoding
  readonly connections: number
  readonly models: number
}

export function settings(): Setting[] {
  return MODEL_COUNTS.flatMap((models) =>
    ENCODINGS.flatMap((encoding) =>
      CONCURRENCIES.filter((connections) => models === 1 || connections > 1).map((connections) => ({
        encoding,
        connections,
        models,
      })),
    ),
  )
}

export function describe({ encoding, connections, models }: Setting): string {
  return `${encoding}, c = ${connections}, ${models} model${models === 1 ? '' : 's'}`
}

export function keyOf(setting: Setting, side: 'modelmux' | 'echo'): string {
  return `${side}, ${describe(setting)}`
}

/** The peer's application speaks JSON only. */
export function isForPeer({ encoding }: Setting): boolean {
  return encoding === 'json'
}

export function findings(samples: LoadSamples, direct: readonly DirectReport[], peer: PeerRun): BenchFindings {
  const rps = (report: LoadReport) => report.rps
  const ratio = (setting: Setting): Spread =>
    pairedRatio(samples.values(keyOf(setting, 'modelmux'), rps), samples.values(keyOf(setting, 'echo'), rps))
  const addedMs = (encoding: Encoding): Spread => {
    const served = samples.values(
      keyOf({ encoding, connections: 1, models: 1 }, 'modelmux'),
      ({ latency }) => latency.p50,
    )
    return spreadOf(served.map((ms, i) => ms - (direct[i]?.run.p50 ?? Number.NaN)))
  }
  const gates: Gate[] = ENCODINGS.flatMap((encoding) => [
    ratioGate(ratio({ encoding, connections: 32, models: 1 }), `${encoding}, c = 32`, 0.3),
    ratioGate(ratio({ encoding, connections: 128, models: 1 }), `${encoding}, c = 128`, 0.4),
    {
      name: `${encoding}, c = 1: p50 above ONNX Runtime's run alone`,
      value: addedMs(encoding).median,
      unit: 'ms',
      limit: 0.4,
      bound: 'at most',
    },
  ])
  return {
    tables: [
      loadTable(samples, ratio),
      directTable(direct),
      ...besideTables(peer, [{ title: 'bodies' }, { title: 'c' }, { title: 'models' }]),
    ],
    gates,
    charts: [throughputChart(samples)],
    notes: [
      'XS, 1 row per request, page cache warm, generator and servers on the same machine.',
      peer.note,
      ...samples.problems,
      ...peer.samples.problems,
    ],
    wrong: samples.wrong + peer.samples.wrong,
    errors: samples.errors + peer.samples.errors,
  }
}

function ratioGate(ratio: Spread, what: string, limit: number): Gate {
  return {
    name: `${what}: answers per second against the echo`,
    value: ratio.median,
    unit: 'x',
    limit,
    bound: 'at least',
  }
}

function loadTable(samples: LoadSamples, ratio: (setting: Setting) => Spread): Table {
  const sides = ['echo', 'modelmux'] as const
  return {
    title: 'One server, closed loop',
    columns: [
      { title: 'bodies' },
      { title: 'c' },
      { title: 'models' },
      { title: 'server' },
      ...LOAD_COLUMNS,
      { title: 'generator CPU' },
      { title: 'of the echo', unit: 'x' },
    ],
    rows: settings().flatMap((setting) =>
      sides
        .filter((side) => side === 'modelmux' || setting.models === 1)
        .map((side) => [
          setting.encoding,
          setting.connections,
          setting.models,
          side,
          ...loadCells(samples, keyOf(setting, side)),
          samples.spread(keyOf(setting, side), ({ generatorCpu }) => generatorCpu).median,
          side === 'modelmux' && setting.models === 1 ? ratio(setting) : undefined,
        ]),
    ),
  }
}

function directTable(direct: readonly DirectReport[]): Table {
  const row = (name: string, read: (report: DirectReport) => DirectReport['run']) => [
    name,
    spreadOf(direct.map((report) => read(report).p50)),
    spreadOf(direct.map((report) => read(report).p99)),
  ]
  return {
    title: 'ONNX Runtime in one process, no server',
    columns: [{ title: 'call' }, { title: 'p50', unit: 'ms' }, { title: 'p99', unit: 'ms' }],
    rows: [row('run', ({ run: alone }) => alone), row('JSON decode, run, JSON encode', ({ whole }) => whole)],
  }
}

function throughputChart(samples: LoadSamples): Chart {
  const series = ENCODINGS.flatMap((encoding) =>
    (['echo', 'modelmux'] as const).map((side) => ({
      name: `${side}, ${encoding}`,
      points: CONCURRENCIES.map((connections) => {
        const { median, min, max } = samples.spread(
          keyOf({ encoding, connections, models: 1 }, side),
          (report) => report.rps,
        )
        return { x: `c = ${connections}`, y: median, low: min, high: max }
      }),
    })),
  )
  return {
    id: 'throughput',
    title: 'XS, warm: answers per second',
    kind: 'bars',
    xTitle: 'requests in flight',
    yTitle: 'answers per second',
    series,
  }
}
