/** File systems of a row's own, so that it can fill one up or make it read-only. Only root may mount: elsewhere the row is not run. */
import { execFile } from 'node:child_process'
import { mkdir, rm, statfs, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { NotRunnable } from './fault.ts'
import type { FaultStage } from './stage.ts'

const run = promisify(execFile)

export interface OwnDisk {
  /** Takes all but `leaveBytes` of it with one file. */
  fill(file: string, leaveBytes: number): Promise<void>
  free(file: string): Promise<void>
  setReadOnly(isReadOnly: boolean): Promise<void>
}

/** Unmounted when the row is over. @throws NotRunnable where this user may not mount */
export async function mountTmpfs(stage: FaultStage, at: string, bytes: number): Promise<OwnDisk> {
  await mkdir(at, { recursive: true })
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'modelmux-faults', at])
  } catch {
    throw new NotRunnable('needs the right to mount a file system of its own (root)')
  }
  stage.afterwards(async () => {
    await run('umount', ['--lazy', at])
  })
  return {
    async fill(file, leaveBytes) {
      const { bavail, bsize } = await statfs(at)
      await writeFile(file, Buffer.alloc(Math.max(0, bavail * bsize - leaveBytes)))
    },
    free: (file) => rm(file, { force: true }),
    async setReadOnly(isReadOnly) {
      await run('mount', ['-o', `remount,${isReadOnly ? 'ro' : 'rw'}`, at])
    },
  }
}
