/** Child processes without processes: their channel is a pair of streams, and they live until they are killed or the test ends them. */
import { duplexPair } from 'node:stream'
import type { CallHandler } from '../../src/child/calls.ts'
import { serveCalls } from '../../src/child/calls.ts'
import type { Child, ExitInfo, SpawnOptions } from '../../src/child/spawn.ts'

/** Beyond what the kernel gives out, so that /proc knows nothing of them. */
const FIRST_PID = 2 ** 22 + 1

class ScriptedChild implements Child {
  readonly pid: number
  readonly channel: Child['channel']
  readonly exited: Promise<ExitInfo>
  readonly options: SpawnOptions
  isAlive = true
  runsLast = false
  readonly #exit: (exit: ExitInfo) => void

  constructor(pid: number, options: SpawnOptions, handle: CallHandler) {
    this.pid = pid
    this.options = options
    const [ours, theirs] = duplexPair()
    this.channel = ours
    const { promise, resolve } = Promise.withResolvers<ExitInfo>()
    this.exited = promise
    this.#exit = resolve
    serveCalls(theirs, handle, () => this.die({ code: 0, signal: null }))
  }

  runLast(): void {
    this.runsLast = true
  }

  kill(): void {
    this.die({ code: null, signal: 'SIGKILL' })
  }

  die(exit: ExitInfo = { code: null, signal: 'SIGSEGV' }): void {
    if (!this.isAlive) return
    this.isAlive = false
    this.channel.destroy()
    this.#exit(exit)
  }
}

/** Makes scripted children and remembers them. */
export class ScriptedSpawner {
  readonly children: ScriptedChild[] = []
  /** What the next ones do with a call. */
  handle: CallHandler = () => []
  /** A real process whose id the next one has, and whose processor time counts for its own. */
  pid: number | undefined
  /** Why none can be made. */
  broken: Error | undefined
  /** Calls of `spawn`, those that failed too. */
  attempts = 0

  readonly spawn = (options: SpawnOptions): ScriptedChild => {
    this.attempts++
    if (this.broken !== undefined) throw this.broken
    const child = new ScriptedChild(this.pid ?? FIRST_PID + this.children.length, options, this.handle)
    this.children.push(child)
    return child
  }
}
