/**
 * A server in a process of its own, started by its command line and ready when it prints `listening on http://HOST:PORT`.
 * Its owner stops it. It leads a process group of its own, so that Ctrl-C reaches the owner alone, who then lets it drain; should the
 * owner end without that, the group is killed.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type Clock, systemClock } from '../../src/lib/clock.ts'
import type { Target } from '../generator/plan.ts'

export interface ServerOptions {
  /** Arguments of `modelmux serve` but for the port. */
  readonly args: readonly string[]
  readonly port?: number
  /** Where the server's log goes; `inherit` shows it. */
  readonly log?: 'ignore' | 'inherit'
  readonly readyTimeoutMs?: number
  /** What is run; this Node by default. */
  readonly program?: string
  readonly workingDirectory?: string
  /** Further arguments of Node itself. */
  readonly nodeArgs?: readonly string[]
  /** Most files and sockets that the process may have open; the caller's limit by default. */
  readonly openFiles?: number
  /** False: nobody reads its standard error, so that the pipe fills up. Default true. */
  readonly readsLog?: boolean
  /** Beside this process's environment. */
  readonly env?: Readonly<Record<string, string>>
  readonly clock?: Clock
}

const READY_TIMEOUT_MS = 60_000
const STOP_TIMEOUT_MS = 30_000
const LAST_LINES = 20
const KEPT_BYTES = 64 * 1024

export class ServerProcess {
  readonly target: Target
  readonly url: string
  readonly #child: ChildProcess
  readonly #exited: Promise<number | NodeJS.Signals | null>
  readonly #log: LogTail
  readonly #clock: Clock

  private constructor(
    child: ChildProcess,
    exited: Promise<number | NodeJS.Signals | null>,
    url: string,
    log: LogTail,
    clock: Clock,
  ) {
    const { hostname, port } = new URL(url)
    this.#log = log
    this.#child = child
    this.#exited = exited
    this.#clock = clock
    this.url = url
    this.target = { host: hostname, port: Number(port) }
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** `modelmux serve` of this checkout. */
  static serve(options: ServerOptions): Promise<ServerProcess> {
    const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
    return ServerProcess.start([main, 'serve', '--port', String(options.port ?? 0), ...options.args], options)
  }

  /** Any program that prints the line. Rejects with the end of its standard error when it ends or stays silent. */
  static async start(
    args: readonly string[],
    options: Omit<ServerOptions, 'args' | 'port'> = {},
  ): Promise<ServerProcess> {
    const clock = options.clock ?? systemClock
    const { workingDirectory, nodeArgs = [], openFiles, readsLog = true } = options
    const program = options.program ?? process.execPath
    const words = options.program === undefined ? ['--no-warnings', ...nodeArgs, ...args] : args
    const limited = ['-c', `ulimit -n ${openFiles} && exec "$0" "$@"`, program, ...words]
    const [command, list] = openFiles === undefined ? [program, words] : ['sh', limited]
    const child = spawn(command, list, {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      ...(workingDirectory === undefined ? {} : { cwd: workingDirectory }),
      ...(options.env === undefined ? {} : { env: { ...process.env, ...options.env } }),
    })
    const killGroup = (): void => kill(child, 'SIGKILL')
    process.once('exit', killGroup)
    const exited = new Promise<number | NodeJS.Signals | null>((resolve) => {
      child.once('exit', (code, signal) => resolve(signal ?? code))
      child.once('error', () => resolve(null))
    }).finally(() => process.off('exit', killGroup))
    const log = new LogTail()
    if (readsLog) {
      child.stderr.on('data', (chunk: Buffer) => {
        log.push(chunk)
        if (options.log === 'inherit') process.stderr.write(chunk)
      })
    }
    const listening = Promise.withResolvers<string | undefined>()
    createInterface({ input: child.stdout }).on('line', (line) => {
      const url = /^listening on (http:\S+)/.exec(line)?.[1]
      if (url !== undefined) listening.resolve(url)
    })
    const timer = clock.after(options.readyTimeoutMs ?? READY_TIMEOUT_MS, () => listening.resolve(undefined))
    const url = await Promise.race([listening.promise, exited.then(() => undefined)])
    timer.cancel()
    if (url !== undefined) return new ServerProcess(child, exited, url, log, clock)
    killGroup()
    throw new Error(`the server did not start:\n${log.lines.join('\n')}`)
  }

  /** Lets it drain, kills it when it does not end in time; resolves with its exit code or signal. Idempotent. */
  async stop(): Promise<number | NodeJS.Signals | null> {
    this.#child.kill('SIGTERM')
    const timer = this.#clock.after(STOP_TIMEOUT_MS, () => kill(this.#child, 'SIGKILL'))
    const exit = await this.#exited
    timer.cancel()
    return exit
  }

  /** The end of its log. */
  get lastLines(): readonly string[] {
    return this.#log.lines
  }

  /** Resolves when the process is gone, for whatever reason. */
  get exited(): Promise<number | NodeJS.Signals | null> {
    return this.#exited
  }
}

/** The whole group, children included; nothing when it is gone already. */
function kill({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, signal)
  } catch {
    // ESRCH: it ended meanwhile, which is what was wanted.
  }
}

/** The end of a log, to explain an unwanted end. Bytes as they came: a busy server writes megabytes a second, and lines cost time. */
class LogTail {
  #chunks: Buffer[] = []
  #bytes = 0

  push(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
    while (this.#bytes - (this.#chunks[0]?.length ?? 0) > KEPT_BYTES) this.#bytes -= this.#chunks.shift()?.length ?? 0
  }

  get lines(): string[] {
    return Buffer.concat(this.#chunks).toString().trimEnd().split('\n').slice(-LAST_LINES)
  }
}
