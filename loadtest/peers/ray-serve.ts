/**
 * Ray Serve over a folder of models, as a process tree with an owner. It multiplexes through its default proxy, on the loopback address,
 * and none of its processes outlives `stop` or this process.
 */
import { mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pause, systemClock } from '../../src/lib/clock.ts'
import { ServerProcess } from '../bench/server-process.ts'
import type { Target } from '../generator/plan.ts'
import { killProcessesIn } from './processes-in.ts'

export interface RayServeOptions {
  /** The interpreter that has Ray. */
  readonly python: string
  /** Folder of models, as `modelmux serve --models` takes it; models have the version 1. */
  readonly models: string
  readonly replicas: number
  /** What a replica holds before it unloads the one used longest ago. */
  readonly modelsPerReplica: number
}

/** About 10 s on two idle cores. */
const READY_TIMEOUT_MS = 120_000
const KILL_POLL_MS = 50
const KILL_LIMIT_MS = 10_000

export class RayServe {
  readonly #server: ServerProcess
  readonly #folder: string
  readonly #killAll: () => void

  private constructor(server: ServerProcess, folder: string, killAll: () => void) {
    this.#server = server
    this.#folder = folder
    this.#killAll = killAll
  }

  get target(): Target {
    return this.#server.target
  }

  /** The root of its process tree. */
  get pid(): number {
    return this.#server.pid
  }

  /** Resolves when it answers. Rejects with the end of its log when it does not within two minutes; nothing of it is left then. */
  static async start({ python, models, replicas, modelsPerReplica }: RayServeOptions): Promise<RayServe> {
    // Short, because the paths of Ray's Unix sockets are 60 characters longer and the kernel takes 107.
    const folder = await realpath(await mkdtemp(join(tmpdir(), 'ray-')))
    const killAll = (): void => void killProcessesIn(folder)
    process.once('exit', killAll)
    const app = fileURLToPath(new URL('./ray_app.py', import.meta.url))
    const numbers = ['--replicas', String(replicas), '--models-per-replica', String(modelsPerReplica)]
    try {
      const server = await ServerProcess.start([app, '--models', models, '--work', folder, ...numbers], {
        program: python,
        workingDirectory: folder,
        readyTimeoutMs: READY_TIMEOUT_MS,
      })
      return new RayServe(server, folder, killAll)
    } catch (error) {
      await leaveNothing(folder, killAll)
      throw error
    }
  }

  /** Lets it shut down, then kills whatever of it is left. Idempotent. */
  async stop(): Promise<void> {
    await this.#server.stop()
    await leaveNothing(this.#folder, this.#killAll)
  }
}

async function leaveNothing(folder: string, killAll: () => void): Promise<void> {
  // Again until there is none: one that was just being started is not seen by the first look.
  const endsAt = systemClock.now() + KILL_LIMIT_MS
  while (killProcessesIn(folder) > 0 && systemClock.now() < endsAt) await pause(systemClock, KILL_POLL_MS)
  process.off('exit', killAll)
  await rm(folder, { recursive: true, force: true })
}
