/** A process that stages versions, and can be killed or put where the disk is small. */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface, type Interface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import type { ModelVersion } from '../../src/domain/model-version.ts'
import type { RemoteFile } from '../../src/domain/remote-source.ts'
import type { RemoteStoreLimits } from '../../src/store/remote-store.ts'

export interface FetchSetting {
  /** The staging folder. */
  readonly dir: string
  /** Of the server that is read from. */
  readonly origin: string
  readonly budgetBytes: number
  readonly limits: RemoteStoreLimits
}

export interface FetchJob {
  readonly version: ModelVersion
  readonly files: readonly RemoteFile[]
  /** Use what was staged until the process ends. */
  readonly isKept: boolean
}

export class FetchingProcess {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>
  readonly #lines: AsyncIterableIterator<string>
  readonly #exited: Promise<unknown>

  private constructor(child: ChildProcessByStdio<Writable, Readable, null>, lines: Interface) {
    this.#child = child
    this.#lines = lines[Symbol.asyncIterator]()
    this.#exited = once(child, 'exit')
  }

  /** `prefix`: a command that becomes the process. */
  static async start(setting: FetchSetting, prefix: readonly string[] = []): Promise<FetchingProcess> {
    const script = new URL('./children/fetches.ts', import.meta.url).pathname
    const [command, ...args] = [...prefix, process.execPath, script, JSON.stringify(setting)]
    const child = spawn(command ?? process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    const started = new FetchingProcess(child, createInterface(child.stdout))
    await started.#line()
    return started
  }

  /** @returns `staged true`, or `refused CODE: message` */
  async stage(job: FetchJob): Promise<string> {
    this.#child.stdin.write(`${JSON.stringify(job)}\n`)
    return await this.#line()
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#exited
  }

  async close(): Promise<void> {
    this.#child.stdin.end()
    await this.#exited
  }

  async #line(): Promise<string> {
    const next = await this.#lines.next()
    return next.done === true ? 'gone' : next.value
  }
}
