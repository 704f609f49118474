/**
 * B11: what the path itself costs, with a model so small that the rest is all there is. Beside it a bare `node:http` server with bodies
 * of the same sizes, ONNX Runtime called in one process with no server at all, and Ray Serve where it is asked for.
 */

import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { systemClock } from '../../src/lib/clock.ts'
import { HttpConnection, requestOnce } from '../generator/http-connection.ts'
import { inferBody, inferRequest } from '../generator/infer-request.ts'
import { generateLoad } from '../generator/load-generator.ts'
import type { Encoding, LoadPlan, ModelGroup } from '../generator/plan.ts'
import { modelClass, modelName, Rng, writeFolder } from '../models/index.ts'
import { besideRayServe, type PeerRun } from '../peers/beside.ts'
import type { BenchFindings } from '../report/bench-result.ts'
import {
  describe,
  ENCODINGS,
  findings,
  isForPeer,
  keyOf,
  MODEL_COUNTS,
  type Setting,
  settings,
} from './b11-findings.ts'
import type { Bench, BenchContext } from './bench.ts'
import { type DirectReport, EngineProcess } from './engine-process.ts'
import { LoadSamples } from './samples.ts'
import { ServerProcess } from './server-process.ts'

const SEED = 11
const INPUTS = 16
/** What ONNX Runtime in Python keeps of an open XS model: 210 KiB measured. */
const PEER_BYTES_PER_MODEL = 256 * 1024

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
    // Every model is compiled and open, and the code that serves them is compiled too, before anything counts.
    await generateLoad({ ...planFor(group, modelmux), popularity: { kind: 'once' } })
    const busy = { pace: { kind: 'closed', connections: 32 } as const, seconds: context.isQuick ? 0.5 : 5 }
    for (const encoding of ENCODINGS) await generateLoad({ ...planFor(group, modelmux), ...busy, encoding })
    const echo = {} as Record<Encoding, ServerProcess>
    for (const encoding of ENCODINGS) {
      echo[encoding] = await startEcho(await answerBytes(modelmux, encoding))
      running.push(echo[encoding])
    }
    const modelFile = join(models, modelName(1), '1', 'model.onnx')
    const { samples, direct } = await measure(context, group, { modelmux, echo }, engine, modelFile)
    return findings(samples, direct, await besidePeer(context, group, modelmux, models))
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
): Promise<{ samples: LoadSamples; direct: readonly DirectReport[] }> {
  const samples = new LoadSamples()
  const direct: DirectReport[] = []
  const body = inferBody(modelClass('XS').sampleInputs(new Rng('direct', SEED), 1), 'json').bytes.toString()
  for (let rep = 1; rep <= context.reps; rep += 1) {
    for (const setting of settings()) {
      context.progress(`repetition ${rep} of ${context.reps}: ${describe(setting)}`)
      context.signal.throwIfAborted()
      const common = settingPlan(context, group, servers.modelmux, setting)
      if (setting.models === 1) {
        const echo = servers.echo[setting.encoding]
        const plan = { ...common, target: echo.target, serverPid: echo.pid, check: 'status' as const }
        samples.add(keyOf(setting, 'echo'), await generateLoad(plan, context))
      }
      samples.add(keyOf(setting, 'modelmux'), await generateLoad(common, context))
    }
    context.progress(`repetition ${rep} of ${context.reps}: bare ONNX Runtime`)
    direct.push(await engine.direct(modelFile, body, measuredSeconds(context)))
  }
  return { samples, direct }
}

function besidePeer(
  context: BenchContext,
  group: ModelGroup,
  modelmux: ServerProcess,
  models: string,
): Promise<PeerRun> {
  const shared = settings().filter(isForPeer)
  const busiest = { kind: 'closed', connections: Math.max(...shared.map(({ connections }) => connections)) } as const
  return besideRayServe(context, {
    models,
    wanted: group.customers,
    bytesPerModel: PEER_BYTES_PER_MODEL,
    warmUps: [
      { ...planFor(group, modelmux), popularity: { kind: 'once' } },
      { ...planFor(group, modelmux), pace: busiest, seconds: measuredSeconds(context) },
    ],
    loads: shared.map((setting) => ({
      name: describe(setting),
      cells: [setting.encoding, setting.connections, setting.models],
      plan: settingPlan(context, group, modelmux, setting),
    })),
  })
}

function measuredSeconds({ isQuick }: BenchContext): number {
  return isQuick ? 0.5 : 4
}

function settingPlan(context: BenchContext, group: ModelGroup, server: ServerProcess, setting: Setting): LoadPlan {
  const seconds = measuredSeconds(context)
  return {
    ...planFor({ ...group, customers: setting.models }, server),
    encoding: setting.encoding,
    pace: { kind: 'closed', connections: setting.connections },
    warmUpSeconds: seconds / 4,
    seconds,
  }
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
