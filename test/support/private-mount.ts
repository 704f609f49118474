/**
 * A small file system of a test's own, in a mount namespace that a waiting process keeps: it can be full, or read-only, and nobody else
 * sees it. Needs the right to mount, as root has; where that is missing, `mountProblem` says so.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Why there can be no private mounts here; undefined when there can. On a build machine that is a failure, not a reason to skip. */
export function mountProblem(): string | undefined {
  try {
    execFileSync('unshare', ['-m', 'sh', '-c', `mount -t tmpfs none ${tmpdir()}`], { stdio: 'pipe' })
    return undefined
  } catch (error) {
    if (process.env.CI === 'true') throw error
    return `file systems cannot be mounted here: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`
  }
}

export class PrivateMount {
  /** The mount point, as processes inside see it. */
  readonly dir: string
  readonly #holder: ChildProcess

  private constructor(dir: string, holder: ChildProcess) {
    this.dir = dir
    this.#holder = holder
  }

  /** `size`: as tmpfs takes it, such as `3m`. */
  static async make(size: string): Promise<PrivateMount> {
    const dir = mkdtempSync(join(tmpdir(), 'modelmux-mount-'))
    const script = `mount -t tmpfs -o size=${size} none ${dir} && echo mounted && exec cat`
    const holder = spawn('unshare', ['-m', '--propagation', 'private', 'sh', '-c', script], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    await once(holder.stdout, 'data')
    return new PrivateMount(dir, holder)
  }

  /** A command before the one that is to run inside; it becomes that one. */
  get prefix(): readonly string[] {
    return ['nsenter', '-t', String(this.#holder.pid), '-m', '--']
  }

  /** A path inside, as this process can read it. */
  outside(path: string): string {
    return `/proc/${this.#holder.pid}/root${path}`
  }

  /** `options`: as mount takes them, such as `ro` or `size=8m`. */
  remount(options: string): void {
    const [command = '', ...args] = this.prefix
    execFileSync(command, [...args, 'mount', '-o', `remount,${options}`, this.dir])
  }

  /** The file system is gone with the last process inside. */
  async close(): Promise<void> {
    const exited = once(this.#holder, 'exit')
    this.#holder.stdin?.end()
    await exited
    rmSync(this.dir, { recursive: true, force: true })
  }
}
