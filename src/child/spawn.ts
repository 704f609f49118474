/**
 * Starts child processes of ours: the entry file's own extension decides between TypeScript source and the packed form, the
 * environment is an allow-list (no credentials), and the channel is a Unix socket pair on descriptor 3.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { constants, setPriority } from 'node:os'
import type { Duplex } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { Clock } from '../lib/clock.ts'
import { killPointEnvironment } from './kill-points.ts'
import { readLines } from './lines.ts'

/** Descriptor of the channel in the child. */
const CHANNEL_FD = 3
/** What a child may inherit: where programs and libraries are, the language, temp folders, the GPU drivers' own switches. Never credentials. */
const INHERITED = [
  'PATH',
  'HOME',
  'LANG',
  'LC_ALL',
  'TZ',
  'TMPDIR',
  'LD_LIBRARY_PATH',
  'VK_ICD_FILENAMES',
  'VK_DRIVER_FILES',
  'CUDA_VISIBLE_DEVICES',
  'NVIDIA_VISIBLE_DEVICES',
]

/** CUDA counts GPUs by speed unless told to count along the bus, as NVIDIA's own tools do. */
const GPU_ORDER = { CUDA_DEVICE_ORDER: 'PCI_BUS_ID' }

export interface SpawnOptions {
  /** The child's entry file, as `new URL('./x-main.ts', import.meta.url)`; `.ts` becomes `.js` when this module itself was compiled. */
  readonly entry: URL
  readonly args?: readonly string[]
  /** Added to the allow-listed environment. */
  readonly env?: Readonly<Record<string, string>>
  /** Cap on private writable memory (RLIMIT_DATA) in bytes. Node itself starts with some 600 MB. */
  readonly dataLimitBytes?: number
  /** Runs at the lowest CPU priority but one. */
  readonly isBackground?: boolean
  /**
   * Added to this process's own oom_score_adj (proc(5)), in thousandths of all memory: whom the kernel ends first when the machine
   * runs out of memory. Raising it needs no privilege.
   */
  readonly oomScoreAdj?: number
  /** A line that the child wrote to stdout or stderr, cut when it is very long. */
  onLine(stream: 'stdout' | 'stderr', line: string): void
}

export interface ExitInfo {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface Child {
  readonly pid: number
  readonly channel: Duplex
  /** Resolves when the process is gone; never rejects. */
  readonly exited: Promise<ExitInfo>
  /** From now on it runs when nobody else wants the processor; that cannot be taken back. */
  runLast(): void
  /** SIGKILL; idempotent. */
  kill(): void
}

/** @throws Error when the process cannot be started at all */
export function spawnChild(options: SpawnOptions): Child {
  const isSource = import.meta.url.endsWith('.ts')
  const entry = fileURLToPath(options.entry).replace(/\.[tj]s$/, isSource ? '.ts' : '.js')
  const env: Record<string, string> = { ...GPU_ORDER, ...killPointEnvironment(), ...options.env }
  for (const name of INHERITED) {
    const value = process.env[name]
    if (value !== undefined) env[name] = value
  }
  const command = [process.execPath, '--no-warnings', entry, ...(options.args ?? [])]
  // A shell sets the limit because Node cannot; exec keeps the pid.
  const [file = '', ...args] =
    options.dataLimitBytes === undefined
      ? command
      : ['/bin/sh', '-c', `ulimit -d ${Math.ceil(options.dataLimitBytes / 1024)} && exec "$@"`, 'sh', ...command]
  const child: ChildProcess = spawn(file, args, { env, stdio: ['ignore', 'pipe', 'pipe', 'pipe'] })
  // A process that could not be made says so by an event too, which nobody would hear once this throws.
  child.on('error', () => {})
  // Without a process there are no pipes either, for instance when descriptors have run out.
  if (child.pid === undefined) throw new Error(`cannot start ${file}`)
  const channel = child.stdio[CHANNEL_FD] as Duplex
  // The channel reports the death as an ordinary close; EPIPE and ECONNRESET of the last writes say nothing more.
  channel.on('error', () => {})
  if (options.isBackground === true) lowerPriority(child.pid)
  if (options.oomScoreAdj !== undefined) offerToOomKiller(child.pid, options.oomScoreAdj)
  for (const stream of ['stdout', 'stderr'] as const) {
    const pipe = child[stream]
    if (pipe !== null) readLines(pipe, (line) => options.onLine(stream, line))
  }
  const exited = new Promise<ExitInfo>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }))
    child.once('error', () => resolve({ code: null, signal: null }))
  })
  const { pid } = child
  return { pid, channel, exited, runLast: () => runLast(pid), kill: () => void child.kill('SIGKILL') }
}

/**
 * The child's end of the channel. From here on the parent alone decides when the child ends: an interrupt from the terminal
 * or a service manager's SIGTERM goes to the whole group, and must not take the workers from a server that drains.
 */
export function parentChannel(): Duplex {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => {})
  return new Socket({ fd: CHANNEL_FD, readable: true, writable: true })
}

/** Waits for a child that was asked to end, and kills it after `graceMs`. */
export async function awaitExit(child: Child, graceMs: number, clock: Clock): Promise<ExitInfo> {
  const timer = clock.after(graceMs, () => child.kill())
  const exit = await child.exited
  timer.cancel()
  return exit
}

function lowerPriority(pid: number): void {
  try {
    setPriority(pid, constants.priority.PRIORITY_LOW - 1)
  } catch {
    // The process may be gone already, or priorities may be forbidden here: it is a courtesy, not a need.
  }
}

/**
 * Every thread of the process gets the scheduling class SCHED_IDLE (sched(7)): a thread of the usual class that wakes takes the core at
 * once, where a low priority alone may keep it for some milliseconds. Node cannot ask for it, util-linux can.
 */
function runLast(pid: number): void {
  const chrt = spawn('chrt', ['--all-tasks', '--idle', '--pid', '0', String(pid)], {
    env: { PATH: process.env.PATH },
    stdio: 'ignore',
  })
  chrt.once('error', () => lowerPriority(pid))
  chrt.once('exit', (code) => {
    if (code !== 0) lowerPriority(pid)
  })
}

const MAX_OOM_SCORE_ADJ = 1000

function offerToOomKiller(pid: number, above: number): void {
  try {
    const own = Number(readFileSync('/proc/self/oom_score_adj', 'latin1'))
    writeFileSync(`/proc/${pid}/oom_score_adj`, String(Math.min(MAX_OOM_SCORE_ADJ, own + above)))
  } catch {
    // The process may be gone already, or /proc be read-only: then the kernel chooses by size alone.
  }
}
