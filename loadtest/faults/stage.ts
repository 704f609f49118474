/** What a fault run is given: a folder of its own, servers that are stopped when it ends, models, and traffic that must not notice. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Clock, pause, systemClock } from '../../src/lib/clock.ts'
import { modelsFolder, type RunningServer, type ServerSetup, startServer } from '../bench/running-server.ts'
import { type InferBody, inferBody } from '../generator/infer-request.ts'
import { generateLoad } from '../generator/load-generator.ts'
import type { LoadPlan, LoadReport, ModelGroup } from '../generator/plan.ts'
import { type ClassName, modelClass, modelName, type NamedTensor, Rng, writeFolder } from '../models/index.ts'

const SEED = 60
const STEADY_RPS = 100
const STEADY_LIMIT_SECONDS = 600
const POLL_MS = 20

export type StageServer = Partial<Pick<ServerSetup, 'config' | 'args' | 'keepsCache' | 'launch'>> & {
  /** Defaults to the first model of the steady group. */
  readonly awaits?: string
}

export interface Steady<T> {
  readonly value: T
  readonly report: LoadReport
}

export class FaultStage {
  readonly folder: string
  readonly signal: AbortSignal
  readonly isQuick: boolean
  readonly clock: Clock = systemClock
  readonly #progress: (text: string) => void
  readonly #running = new Set<RunningServer>()
  readonly #undo: (() => Promise<void>)[] = []

  constructor(folder: string, signal: AbortSignal, isQuick: boolean, progress: (text: string) => void) {
    this.folder = folder
    this.signal = signal
    this.isQuick = isQuick
    this.#progress = progress
  }

  progress(text: string): void {
    this.signal.throwIfAborted()
    this.#progress(text)
  }

  /** Small models with checked answers, customers 1 to `customers` of prefix `steady`. */
  async writeSteady(customers: number, className: ClassName = 'XS'): Promise<ModelGroup> {
    const group: ModelGroup = { className, family: 'full', seed: SEED, customers, prefix: 'steady', model: 'm' }
    await this.writeGroup(group)
    return group
  }

  async writeGroup({ className, ...set }: ModelGroup): Promise<void> {
    await writeFolder(modelsFolder(this.folder), modelClass(className), set)
  }

  /** Any bytes as version 1 of a model. */
  async writeModelFile(model: string, bytes: Uint8Array): Promise<void> {
    const dir = join(modelsFolder(this.folder), model, '1')
    await mkdir(dir, { recursive: true })
    await writeFile(join(dir, 'model.onnx'), bytes)
  }

  /** A server on this stage's folders; stopped at the end unless the row does. */
  async serve({ awaits = nameIn('steady', 1), ...setup }: StageServer = {}): Promise<RunningServer> {
    const running = await startServer({ folder: this.folder, awaits, signal: this.signal, ...setup })
    this.#running.add(running)
    return running
  }

  async stop(running: RunningServer): Promise<void> {
    this.#running.delete(running)
    running.probe.close()
    await running.server.stop()
  }

  /** Called when the row is over, last first, whatever became of it. */
  afterwards(undo: () => Promise<void>): void {
    this.#undo.push(undo)
  }

  /** A body that every model of the class takes. */
  body(className: ClassName): InferBody {
    return inferBody(this.inputs(className), 'binary')
  }

  /** What is in that body. */
  inputs(className: ClassName): readonly NamedTensor[] {
    return modelClass(className).sampleInputs(new Rng('inputs', className, SEED, 0), 1)
  }

  /** A steady load at a low rate, to be made into another one. */
  loadPlan(target: LoadPlan['target'], group: ModelGroup, rps = STEADY_RPS): LoadPlan {
    return steadyPlan(target, group, rps)
  }

  /** Touches every model of the group once, so that all are compiled and open. */
  async touchAll({ server, probe }: RunningServer, group: ModelGroup): Promise<void> {
    const plan = this.loadPlan(server.target, group)
    const pace = { kind: 'closed', connections: 4 } as const
    const touched = await generateLoad({ ...plan, popularity: { kind: 'once' }, pace }, { signal: this.signal })
    if (touched.answered !== group.customers) throw new Error(`not all models answered: ${touched.firstProblem}`)
    await probe.awaitQuiet(server.pid, this.signal)
  }

  /** Runs `act` while the group is asked at a steady rate, every answer checked; the load ends with it. */
  async besideSteady<T>(
    { server }: RunningServer,
    group: ModelGroup,
    act: () => Promise<T>,
    rps = STEADY_RPS,
  ): Promise<Steady<T>> {
    const stop = new AbortController()
    const signal = AbortSignal.any([stop.signal, this.signal])
    const ready = Promise.withResolvers<void>()
    const onReady = (): void => ready.resolve()
    const load = generateLoad(steadyPlan(server.target, group, rps), { signal, onReady })
    try {
      await Promise.race([ready.promise, load])
      const value = await act()
      stop.abort()
      return { value, report: await load }
    } finally {
      stop.abort()
      await load.catch(() => undefined)
    }
  }

  /** Seconds until `holds` gives true. @throws Error after `limitSeconds` */
  async secondsUntil(what: string, limitSeconds: number, holds: () => Promise<boolean>): Promise<number> {
    const from = this.clock.now()
    for (;;) {
      if (await holds()) return (this.clock.now() - from) / 1000
      if (this.clock.now() - from > limitSeconds * 1000) throw new Error(`${what}: not within ${limitSeconds} s`)
      await pause(this.clock, POLL_MS, this.signal)
    }
  }

  /** Looks at a figure again and again while `act` goes on, and gives its highest value. */
  async peakDuring<T>(read: () => Promise<number>, act: () => Promise<T>): Promise<{ value: T; peak: number }> {
    const over = new AbortController()
    let peak = await read()
    const looking = (async (): Promise<void> => {
      while (!over.signal.aborted) {
        peak = Math.max(peak, await read())
        await pause(this.clock, POLL_MS)
      }
    })()
    try {
      const value = await act()
      return { value, peak }
    } finally {
      over.abort()
      await looking
    }
  }

  async seconds(act: () => Promise<unknown>): Promise<number> {
    const from = this.clock.now()
    await act()
    return (this.clock.now() - from) / 1000
  }

  pause(ms: number): Promise<void> {
    return pause(this.clock, ms, this.signal)
  }

  async end(): Promise<void> {
    for (const running of Array.from(this.#running)) await this.stop(running)
    for (const undo of this.#undo.splice(0).toReversed()) await undo()
  }
}

export function nameIn(prefix: string, customer: number, model = 'm'): string {
  return modelName(customer, { prefix, model })
}

function steadyPlan(target: LoadPlan['target'], group: ModelGroup, rps: number): LoadPlan {
  return {
    target,
    groups: [group],
    encoding: 'binary',
    rows: 1,
    inputsPerModel: 1,
    popularity: { kind: 'uniform' },
    pace: { kind: 'open', rps, arrivals: 'poisson', connections: 128 },
    seed: SEED,
    warmUpSeconds: 0,
    seconds: STEADY_LIMIT_SECONDS,
    maxRequests: Number.MAX_SAFE_INTEGER,
    timeoutMs: 30_000,
    check: 'all',
    progressMs: 0,
  }
}
