/** What the GPU checks have in common: a folder of small models, servers on one device or another, and what a check comes to. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { HttpProbe, type ProbedAnswer } from '../bench/http-probe.ts'
import { ServerProcess } from '../bench/server-process.ts'
import { inferBody } from '../generator/infer-request.ts'
import { type NamedTensor, writeModel } from '../models/index.ts'
import type { OnnxModel } from '../models/onnx-model.ts'

const READY_MS = 60_000
/** A renderer in software takes seconds to compile the kernels of a model. */
const PATIENT = { server: { deadlineMs: 300_000 }, artifact: { checkMs: 300_000, compileDeadlineMs: 600_000 } }

/** One row of the table. */
export interface CheckRow {
  readonly check: string
  readonly measured: string
  readonly wanted: string
  /** Undefined: not asked of this device. */
  readonly passed: boolean | undefined
}

export interface Rig {
  readonly device: string
  /** For models, caches and configurations; the checks' own. */
  readonly folder: string
  /** Load, run and release cycles of the leak check. */
  readonly cycles: number
  /** Those in the folder. */
  readonly models: string[]
  readonly signal: AbortSignal
  progress(text: string): void
}

/** A server and a connection to it. */
export class RigServer {
  readonly #server: ServerProcess
  readonly #probe: HttpProbe

  private constructor(server: ServerProcess, probe: HttpProbe) {
    this.#server = server
    this.#probe = probe
  }

  /** On a device, or on the CPU beside it. `config`: sections, as in a configuration file. */
  static async start(rig: Rig, device: string, config: Readonly<Record<string, unknown>> = {}): Promise<RigServer> {
    const file = join(rig.folder, 'config.json')
    const settings = { ...PATIENT, store: { settleMs: 0, pollMs: 200 }, worker: { recycleDriftBytes: 0 }, ...config }
    await writeFile(file, JSON.stringify(settings))
    const folders = ['--models', join(rig.folder, 'models'), '--cache', join(rig.folder, 'cache')]
    const server = await ServerProcess.serve({ args: [...folders, '--device', device, '--config', file] })
    const probe = new HttpProbe(server.target)
    const started = new RigServer(server, probe)
    for (const name of rig.models) await probe.awaitReady(name, READY_MS, rig.signal)
    return started
  }

  async infer(model: string, inputs: readonly NamedTensor[]): Promise<ProbedAnswer> {
    return await this.#probe.infer(model, inferBody(inputs, 'json'))
  }

  /** However it is answered: status, code and message. */
  async tryInfer(
    model: string,
    inputs: readonly NamedTensor[],
  ): Promise<{ status: number; code: string; text: string }> {
    const { status, body } = await this.#probe.tryInfer(model, inferBody(inputs, 'json'))
    const text = body.toString('utf8', 0, 2000)
    return { status, code: /"code":"(\w+)"/.exec(text)?.[1] ?? '', text }
  }

  async unload(model: string): Promise<void> {
    await this.#probe.unload(model)
  }

  /** Sum of a metric over the samples with these labels; 0 when there is none. */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    return (await this.#probe.metrics()).sum(name, labels)
  }

  async stop(): Promise<void> {
    this.#probe.close()
    await this.#server.stop()
  }
}

/** Runs `work` with a server that ends with it. */
export async function withServer<T>(
  rig: Rig,
  device: string,
  config: Readonly<Record<string, unknown>>,
  work: (server: RigServer) => Promise<T>,
): Promise<T> {
  const server = await RigServer.start(rig, device, config)
  try {
    return await work(server)
  } finally {
    await server.stop()
  }
}

export async function addModel({ folder, models }: Rig, name: string, model: OnnxModel): Promise<void> {
  models.push(name)
  await writeModel(join(folder, 'models', name, '1', 'model.onnx'), model)
}
