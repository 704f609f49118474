/** ONNX Runtime without us, as a child process: fresh for one measurement, or kept warm for many. One command at a time. */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { serialize } from 'node:v8'
import type { AnswerTensor } from '../generator/infer-answer.ts'
import type { LatencySummary } from '../generator/plan.ts'
import type { NamedTensor } from '../models/index.ts'

/** `inputs` is a serialised list of tensors in base64: the channel speaks JSON, which has no typed arrays. */
export type EngineCommand =
  | { readonly kind: 'plain'; readonly file: string; readonly inputs: string }
  /** As `plain`, and keeps the session. */
  | { readonly kind: 'hold'; readonly file: string; readonly inputs: string }
  | { readonly kind: 'direct'; readonly file: string; readonly body: string; readonly seconds: number }

export type EngineReply =
  | { readonly ok: true; readonly report: PlainReport | HeldReport | DirectReport }
  | { readonly ok: false; readonly reason: string }

/** `InferenceSession.create` with default options, and the first run. */
export interface PlainReport {
  readonly createMs: number
  readonly firstRunMs: number
  /** What the model says to the inputs. */
  readonly outputs: readonly AnswerTensor[]
}

/** A session created with default options, run once and kept open. */
export interface HeldReport {
  readonly createMs: number
  readonly pid: number
}

/** `run` alone, and decode, run and encode of a JSON body. */
export interface DirectReport {
  readonly run: LatencySummary
  readonly whole: LatencySummary
}

export class EngineProcess {
  readonly #child: ChildProcess = fork(fileURLToPath(new URL('./engine-main.ts', import.meta.url)), {
    execArgv: ['--no-warnings'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })

  /** Starts nothing but the session's clock: the process and its imports are not counted. */
  async plain(file: string, inputs: readonly NamedTensor[]): Promise<PlainReport> {
    return (await this.#ask({ kind: 'plain', file, inputs: serialize(inputs).toString('base64') })) as PlainReport
  }

  /** Opens one more session that stays open as long as the process. */
  async hold(file: string, inputs: readonly NamedTensor[]): Promise<HeldReport> {
    return (await this.#ask({ kind: 'hold', file, inputs: serialize(inputs).toString('base64') })) as HeldReport
  }

  async direct(file: string, body: string, seconds: number): Promise<DirectReport> {
    return (await this.#ask({ kind: 'direct', file, body, seconds })) as DirectReport
  }

  /** Idempotent. */
  close(): void {
    this.#child.kill('SIGKILL')
  }

  #ask(command: EngineCommand): Promise<PlainReport | HeldReport | DirectReport> {
    return new Promise((resolve, reject) => {
      const onExit = (): void => reject(new Error('the engine process ended early'))
      this.#child.once('exit', onExit)
      this.#child.once('message', (reply: EngineReply) => {
        this.#child.off('exit', onExit)
        if (reply.ok) resolve(reply.report)
        else reject(new Error(`ONNX Runtime: ${reply.reason}`))
      })
      this.#child.send(command)
    })
  }
}

/** A process that has run nothing before. */
export async function plainInFreshProcess(file: string, inputs: readonly NamedTensor[]): Promise<PlainReport> {
  const engine = new EngineProcess()
  try {
    return await engine.plain(file, inputs)
  } finally {
    engine.close()
  }
}
