/**
 * Processes found by their working directory. A server that starts daemons of its own, in groups of their own, leaves nothing else to know
 * them all by once their parents have ended: a folder made for it, where it was started and where they all stay.
 */
import { readdirSync, readlinkSync } from 'node:fs'

/** What the kernel adds to the name of a folder that was removed. */
const REMOVED = ' (deleted)'

/** Pids of the processes that work in `folder` (an absolute path without links) or below it. Those of other users are not seen. */
export function processesIn(folder: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && isWithin(folder, workingDirectory(name)))
    .map(Number)
}

/** Kills them at once and says how many there were. Synchronous, so that it can be the last thing that a process does. */
export function killProcessesIn(folder: string): number {
  const pids = processesIn(folder).filter((pid) => pid !== process.pid)
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // ESRCH: it ended meanwhile, which is what was wanted.
    }
  }
  return pids.length
}

export function isWithin(folder: string, directory: string): boolean {
  const path = directory.endsWith(REMOVED) ? directory.slice(0, -REMOVED.length) : directory
  return path === folder || path.startsWith(`${folder}/`)
}

/** Empty for a process that ended, or is not ours to look at. */
function workingDirectory(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`)
  } catch {
    return ''
  }
}
