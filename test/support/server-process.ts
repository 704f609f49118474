/**
 * `modelmux serve` of this checkout as a child process with a temporary cache folder, and what it wrote. It leads a process group of
 * its own; its owner stops it, and should the tests end without that, the group is killed.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { systemClock } from '../../src/lib/clock.ts'
import { eventually } from './eventually.ts'
import { HttpClient } from './http-client.ts'

export interface ServeOptions {
  /** The models folder. */
  readonly models: string
  /** The cache folder; by default one of its own that goes with the server. */
  readonly cache?: string
  /** Configuration by sections, given as a file. */
  readonly config?: object
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** A command that becomes the server's process, as `nsenter` does. */
  readonly prefix?: readonly string[]
  /** `npm`: as typed by a user, `npm run modelmux -- serve ...`. */
  readonly via?: 'node' | 'npm'
}

type RunOptions = Pick<ServeOptions, 'env' | 'prefix' | 'via'>

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface Finished extends Exit {
  readonly stdout: string
  readonly stderr: string
}

export type LogEvent = Readonly<Record<string, unknown>> & { readonly event: string }

const CHECKOUT = fileURLToPath(new URL('../../', import.meta.url))
const MAIN = join(CHECKOUT, 'src/main.ts')
const STOP_BOUND_MS = 60_000

export class ServerProcess {
  readonly url: string
  readonly port: number
  readonly client: HttpClient
  readonly #run: Run
  readonly #temporary: string

  private constructor(run: Run, url: string, temporary: string) {
    this.#run = run
    this.#temporary = temporary
    this.url = url
    this.port = Number(new URL(url).port)
    this.client = new HttpClient(this.port)
  }

  /** Resolves when the server said where it listens; rejects with what it wrote when it ends before. */
  static async start(options: ServeOptions): Promise<ServerProcess> {
    const temporary = await mkdtemp(join(tmpdir(), 'modelmux-server-'))
    const args = ['--models', options.models, '--cache', options.cache ?? join(temporary, 'cache'), '--port', '0']
    if (options.config !== undefined) {
      const file = join(temporary, 'config.yaml')
      await writeFile(file, JSON.stringify(options.config))
      args.push('--config', file)
    }
    const run = new Run(['serve', ...args, ...(options.args ?? [])], { ...options, env: { ...POLLED, ...options.env } })
    try {
      const url = await eventually('the server listens', () => run.listeningUrl())
      return new ServerProcess(run, url, temporary)
    } catch (error) {
      run.kill('SIGKILL')
      await run.exited
      await rm(temporary, { recursive: true, force: true })
      throw error
    }
  }

  /** Of the process that was started: npm's when it was started through npm. */
  get pid(): number {
    return this.#run.pid
  }

  get stdout(): string {
    return this.#run.stdout.join('')
  }

  get stderr(): string {
    return this.#run.stderr.join('')
  }

  get exited(): Promise<Exit> {
    return this.#run.exited
  }

  /** Log lines with this event name so far, in their order. */
  logged(event: string): LogEvent[] {
    return this.#run.logged(event)
  }

  /** Resolves with the first log line of this event that fits. */
  logs(event: string, fits: (line: LogEvent) => boolean = () => true): Promise<LogEvent> {
    return eventually(`the server logs ${event}`, () => this.logged(event).find(fits))
  }

  /** The samples of `/metrics` by name with labels, as in `modelmux_ledger_bytes{kind="blobs"}`. */
  async metrics(): Promise<ReadonlyMap<string, number>> {
    const { text } = await this.client.get('/metrics')
    const samples = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
    return new Map(
      samples.map((line): [string, number] => {
        const space = line.lastIndexOf(' ')
        return [line.slice(0, space), Number(line.slice(space + 1))]
      }),
    )
  }

  /** Sends a signal to the process that was started, or to its whole group as a terminal does. */
  signal(signal: NodeJS.Signals, to: 'process' | 'group' = 'process'): void {
    process.kill(to === 'group' ? -this.pid : this.pid, signal)
  }

  /** Lets it drain; resolves with how it ended. Idempotent. */
  async stop(): Promise<Exit> {
    this.#run.signalUnlessGone('SIGTERM')
    return this.end()
  }

  /** Waits until it has ended, after a bound by force, and removes what was temporary. */
  async end(): Promise<Exit> {
    const timer = systemClock.after(STOP_BOUND_MS, () => this.#run.kill('SIGKILL'))
    const exit = await this.#run.exited
    timer.cancel()
    this.client.close()
    await rm(this.#temporary, { recursive: true, force: true })
    return exit
  }
}

/** A `modelmux` command that ends by itself. */
export async function runModelmux(args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const run = new Run(args, options)
  const timer = systemClock.after(STOP_BOUND_MS, () => run.kill('SIGKILL'))
  const exit = await run.exited
  timer.cancel()
  return { ...exit, stdout: run.stdout.join(''), stderr: run.stderr.join('') }
}

/** Is there a process of this id? A zombie counts as gone: in a container without an init nobody may ever collect it. */
export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2))
  } catch {
    return false
  }
}

/** Tests ask what models there are until they are there, which no quota should end. */
const POLLED = { MODELMUX_SERVER_METADATA_PER_SECOND: '10000' }

/** One started command and its output. */
class Run {
  readonly exited: Promise<Exit>
  readonly stdout: string[] = []
  readonly stderr: string[] = []
  readonly #events: LogEvent[] = []
  readonly #child: ChildProcess
  #exit: Exit | undefined

  constructor(args: readonly string[], { env = {}, prefix = [], via = 'node' }: RunOptions) {
    const modelmux = via === 'npm' ? ['npm', 'run', '--silent', 'modelmux', '--'] : [process.execPath, MAIN]
    const [command = '', ...before] = [...prefix, ...modelmux]
    const child = spawn(command, [...before, ...args], {
      cwd: CHECKOUT,
      env: { ...cleanEnv(), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    this.#child = child
    const killGroup = (): void => this.kill('SIGKILL')
    process.once('exit', killGroup)
    child.stdout.setEncoding('utf8').on('data', (text: string) => this.stdout.push(text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => this.stderr.push(text))
    createInterface({ input: child.stderr }).on('line', (line) => this.#note(line))
    this.exited = new Promise((resolve) => {
      // `close` rather than `exit`: by then all that it wrote is here.
      child.once('close', (code, signal) => {
        process.off('exit', killGroup)
        this.#exit = { code, signal }
        resolve(this.#exit)
      })
      child.once('error', (error) => {
        this.stderr.push(String(error))
        resolve({ code: null, signal: null })
      })
    })
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** @throws Error with what it wrote when it has ended */
  listeningUrl(): string | undefined {
    const url = /^listening on (http:\S+)$/m.exec(this.stdout.join(''))?.[1]
    if (url === undefined && this.#exit !== undefined)
      throw new Error(`the server ended before it listened:\n${this.stdout.join('')}${this.stderr.join('')}`)
    return url
  }

  logged(event: string): LogEvent[] {
    return this.#events.filter((line) => line.event === event)
  }

  signalUnlessGone(signal: NodeJS.Signals): void {
    if (this.#exit === undefined) this.#child.kill(signal)
  }

  /** The whole group, children included; nothing when it is gone. */
  kill(signal: NodeJS.Signals): void {
    try {
      if (this.pid !== 0) process.kill(-this.pid, signal)
    } catch {
      // ESRCH: it ended meanwhile, which is what was wanted.
    }
  }

  #note(line: string): void {
    if (!line.startsWith('{')) return
    const value = JSON.parse(line) as Partial<LogEvent>
    if (typeof value.event === 'string') this.#events.push({ ...value, event: value.event })
  }
}

/** The environment without what would configure the server or its Node. */
function cleanEnv(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(MODELMUX_|MLFLOW_|NODE_|npm_)/.test(name)),
  )
}
