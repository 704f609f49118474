/**
 * B11: what the path itself costs, with a model so small that the rest is all there is. Beside it a bare `node:http` server with bodies
 * of the same sizes, and ONNX Runtime called in one process with no server at all.
 */

import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { systemClock } from '../../src/lib/clock.ts'
import { HttpConnection, requestOnce } from '../generator/http-connection.ts'
import { inferBody, inferRequest } from '../generator/infer-request.ts'
import { generateLoad } from '../generator/load-generator.ts'
import type { Encoding, LoadPlan, LoadReport, ModelGroup } from '../generator/plan.ts'
import { pairedRatio, type Spread, spreadOf } from '../measure/statistics.ts'
import { modelClass, modelName, Rng, writeFolder } from '../models/index.ts'
import type { BenchFindings, Chart, Gate, Table } from '../report/bench-result.ts'
import type { Bench, BenchContext } from './bench.ts'
import { type DirectReport, EngineProcess } from './engine-process.ts'
import { LOAD_COLUMNS, LoadSamples, loadCells } from './samples.ts'
import { ServerProcess } from './server-process.ts'

const ENCODINGS: readonly Encoding[] = ['json', 'binary']
const CONCURRENCIES = [1, 32, 128] as const
/** One model is the gate; several show what is left of it when requests cannot all be stacked. */
const MODEL_COUNTS = [1, 16] as const
const SEED = 11
const INPUTS = 16

interface Setting {
  readonly encoding: Encoding
  readonly connections: number
  readonly models: number
}

interface Servers {
  readonly modelmux: ServerProcess
  readonly echo: Readonly<Record<Encoding, ServerProcess>>
}

export const warmSmall: Bench = {
  name: 'B11',
  question: 'what does the path itself cost, warm and small?',
  minutes: 8,
  reps: 5,
  run,
}

async function run(context: BenchContext): Promise<BenchFindings> {
  const models = join(context.folder, 'models')
  const cache = join(context.folder, 'cache')
  const group: ModelGroup = { className: 'XS', family: 'full', seed: SEED, customers: Math.max(...MODEL_COUNTS) }
  await writeFolder(models, modelClass('XS'), group)
  await rm(cache, { recursive: true, force: true })
  const running: ServerProcess[] = []
  const engine = new EngineProcess()
  try {
    const modelmux = await ServerProcess.serve({ args: ['--models', models, '--cache', cache] })
    running.push(modelmux)
    await generateLoad({ ...planFor(group, modelmux), popularity: { kind: 'once' } })
    const echo = {} as Record<Encoding, ServerProcess>
    for (const encoding of ENCODINGS) {
      echo[encoding] = await startEcho(await answerBytes(modelmux, encoding))
      running.push(echo[encoding])
    }
    return await measure(context, group, { modelmux, echo }, engine, join(models, modelName(1), '1', 'model.onnx'))
  } finally {
    engine.close()
    await Promise.all(running.map((server) => server.stop()))
    await rm(cache, { recursive: true, force: true })
  }
}

async function measure(
  context: BenchContext,
  group: ModelGroup,
  servers: Servers,
  engine: EngineProcess,
  modelFile: string,
): Promise<BenchFindings> {
  const seconds = context.isQuick ? 0.5 : 4
  const samples = new LoadSamples()
  const direct: DirectReport[] = []
  const body = inferBody(modelClass('XS').sampleInputs(new Rng('direct', SEED), 1), 'json').bytes.toString()
  for (let rep = 1; rep <= context.reps; rep += 1) {
    for (const setting of settings()) {
      context.progress(`repetition ${rep} of ${context.reps}: ${describe(setting)}`)
      context.signal.throwIfAborted()
      const common = {
        ...planFor({ ...group, customers: setting.models }, servers.modelmux),
        encoding: setting.encoding,
        pace: { kind: 'closed', connections: setting.connections } as const,
        warmUpSeconds: seconds / 4,
        seconds,
      }
      if (setting.models === 1) {
        const echo = servers.echo[setting.encoding]
        const plan = { ...common, target: echo.target, serverPid: echo.pid, check: 'status' as const }
        samples.add(keyOf(setting, 'echo'), await generateLoad(plan, context))
      }
      samples.add(keyOf(setting, 'modelmux'), await generateLoad(common, context))
    }
    context.progress(`repetition ${rep} of ${context.reps}: bare ONNX Runtime`)
    direct.push(await engine.direct(modelFile, body, seconds))
  }
  return findings(samples, direct)
}

function planFor(group: ModelGroup, server: ServerProcess): LoadPlan {
  return {
    target: server.target,
    groups: [group],
    encoding: 'json',
    rows: 1,
    inputsPerModel: INPUTS,
    popularity: { kind: 'uniform' },
    pace: { kind: 'closed', connections: 1 },
    seed: SEED,
    warmUpSeconds: 0,
    seconds: 60,
    maxRequests: 10_000_000,
    timeoutMs: 10_000,
    check: 'all',
    serverPid: server.pid,
    progressMs: 0,
  }
}

function settings(): Setting[] {
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

function describe({ encoding, connections, models }: Setting): string {
  return `${encoding}, c = ${connections}, ${models} model${models === 1 ? '' : 's'}`
}

function keyOf(setting: Setting, side: 'modelmux' | 'echo'): string {
  return `${side}, ${describe(setting)}`
}

/** Bytes of the model's answer: the echo answers as many. */
async function answerBytes({ target }: ServerProcess, encoding: Encoding): Promise<number> {
  const inputs = modelClass('XS').sampleInputs(new Rng('size', SEED), 1)
  const connection = new HttpConnection(target, 10_000, systemClock)
  const reply = await requestOnce(
    connection,
    inferRequest(target, modelName(1), inferBody(inputs, encoding)),
    systemClock,
  )
  connection.close()
  if (reply.status !== 200) throw new Error(`the model answered ${reply.status}: ${reply.body.toString()}`)
  return reply.body.length
}

function startEcho(bytes: number): Promise<ServerProcess> {
  return ServerProcess.start([fileURLToPath(new URL('./echo-main.ts', import.meta.url)), String(bytes)])
}

function findings(samples: LoadSamples, direct: readonly DirectReport[]): BenchFindings {
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
    tables: [loadTable(samples, ratio), directTable(direct)],
    gates,
    charts: [throughputChart(samples)],
    notes: ['XS, 1 row per request, page cache warm, generator and servers on the same machine.', ...samples.problems],
    wrong: samples.wrong,
    errors: samples.errors,
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
