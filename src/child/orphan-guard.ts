/**
 * Ends the children of this process when it is killed itself. A child that reads its channel ends by itself; one in the middle
 * of a long run does not look, and would keep a core and its memory for as long as the run takes.
 *
 * A shell waits beside the children with a pipe from here: it is told every child's process id, and when the pipe closes,
 * however this process ended, it kills those that are left. It takes 1 MB, no time, and no help of the kernel's beyond POSIX;
 * a watching thread in each child would cost 9 MB and 40 ms of start each, and half a gigabyte of the compilers' address space.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import type { Clock, Timer } from '../lib/clock.ts'
import { detach } from '../lib/detach.ts'
import type { Child, SpawnOptions } from './spawn.ts'
import { spawnChild } from './spawn.ts'

/** Makes children; `spawnChild`, or one that does more. @throws Error when the process cannot be started at all */
export type Spawn = (options: SpawnOptions) => Child

/** Lines are `+ <pid>` and `- <pid>`. Signals go to the whole group and must not end the one who waits for the end. */
const SCRIPT = `
trap '' HUP INT TERM
pids=' '
while read -r sign pid; do
  case $sign in
    +) pids="$pids$pid " ;;
    -) case $pids in *" $pid "*) pids="\${pids%% $pid *} \${pids#* $pid }" ;; esac ;;
  esac
done
for pid in $pids; do kill -9 "$pid" 2>/dev/null; done
`
const RESTART_MS = 1000

export class OrphanGuard {
  readonly #clock: Clock
  readonly #pids = new Set<number>()
  #shell: ChildProcess | undefined
  #restart: Timer | undefined
  #isClosed = false

  constructor(clock: Clock) {
    this.#clock = clock
    this.#start()
  }

  /** Process id of the shell; undefined while there is none. */
  get pid(): number | undefined {
    return this.#shell?.pid
  }

  /** As `spawnChild`; the child does not outlive this process. */
  readonly spawn: Spawn = (options) => {
    const child = spawnChild(options)
    this.#pids.add(child.pid)
    this.#tell('+', child.pid)
    detach(this.#untilGone(child))
    return child
  }

  /** Lets the shell end; children that are left stay. Idempotent. */
  close(): void {
    this.#isClosed = true
    this.#restart?.cancel()
    this.#pids.clear()
    this.#shell?.kill('SIGKILL')
  }

  async #untilGone({ pid, exited }: Child): Promise<void> {
    await exited
    this.#pids.delete(pid)
    this.#tell('-', pid)
  }

  #start(): void {
    try {
      const shell = spawn('/bin/sh', ['-c', SCRIPT], { env: {}, stdio: ['pipe', 'ignore', 'ignore'] })
      shell.on('error', () => {})
      shell.stdin?.on('error', () => {})
      shell.once('exit', () => this.#ended())
      if (shell.pid === undefined) this.#startLater()
      this.#shell = shell
      for (const pid of this.#pids) this.#tell('+', pid)
    } catch {
      // No process can be made just now.
      this.#startLater()
    }
  }

  #ended(): void {
    this.#shell = undefined
    this.#startLater()
  }

  #startLater(): void {
    if (this.#isClosed) return
    this.#restart?.cancel()
    this.#restart = this.#clock.after(RESTART_MS, () => this.#start())
  }

  #tell(sign: '+' | '-', pid: number): void {
    this.#shell?.stdin?.write(`${sign} ${pid}\n`)
  }
}
