/** What a process did so far, as Linux counts it. */
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'

export interface ProcessStat {
  /** Pages that had to be read from disk while the process waited. */
  readonly majorFaults: number
  /** Processor time of all its threads, in milliseconds. */
  readonly cpuMs: number
}

/** USER_HZ: the kernel's unit for user space, 100 on every Linux that Node runs on. */
const TICK_MS = 10

/** Undefined when the process is gone. */
export async function readProcessStat(pid: number | 'self'): Promise<ProcessStat | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => undefined)
  return text === undefined ? undefined : parseProcessStat(text)
}

/** Processor time of all the process's threads until now, in milliseconds; undefined when it is gone. Reads no disk. */
export function processCpuMs(pid: number): number | undefined {
  try {
    return parseProcessStat(readFileSync(`/proc/${pid}/stat`, 'latin1')).cpuMs
  } catch {
    return undefined
  }
}

/** Fields of proc(5), counted from behind the name, which may hold blanks and parentheses: 12 = majflt, 14 = utime, 15 = stime of the manual. */
export function parseProcessStat(text: string): ProcessStat {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const [, , , , , , , , , majorFaults = '0', , user = '0', system = '0'] = fields
  return { majorFaults: Number(majorFaults), cpuMs: (Number(user) + Number(system)) * TICK_MS }
}
