/** Memory of a process as Linux tells it. */
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'

export interface ProcessMemory {
  /** Private anonymous pages, swapped ones too: what only this process holds and what comes back when it ends. */
  readonly privateBytes: number
  readonly residentBytes: number
}

/** Reads /proc/<pid>/status (0.07 ms; smaps_rollup costs a hundred times as much). Undefined when the process is gone. */
export async function readProcessMemory(pid: number | 'self'): Promise<ProcessMemory | undefined> {
  try {
    return parseStatus(await readFile(`/proc/${pid}/status`, 'latin1'))
  } catch {
    return undefined
  }
}

/**
 * The same at once, without a turn of the event loop or the thread pool, which may be busy with the very load that is watched:
 * the kernel answers from counters, in 0.03 ms.
 */
export function processMemoryNow(pid: number): ProcessMemory | undefined {
  try {
    return parseStatus(readFileSync(`/proc/${pid}/status`, 'latin1'))
  } catch {
    return undefined
  }
}

export function parseStatus(status: string): ProcessMemory {
  const kib = (field: string) => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) * 1024
  return { privateBytes: kib('RssAnon') + kib('VmSwap'), residentBytes: kib('VmRSS') }
}

/** Number of memory mappings of a process; the kernel's limit is vm.max_map_count. */
export async function countMappings(pid: number | 'self'): Promise<number> {
  return linesIn(await readFile(`/proc/${pid}/maps`, 'latin1'))
}

/** The same at once, for a process that has opened nothing yet: a millisecond. 0 when it is gone. */
export function countMappingsNow(pid: number): number {
  try {
    return linesIn(readFileSync(`/proc/${pid}/maps`, 'latin1'))
  } catch {
    return 0
  }
}

function linesIn(maps: string): number {
  let count = 0
  for (let at = maps.indexOf('\n'); at !== -1; at = maps.indexOf('\n', at + 1)) count++
  return count
}

/**
 * The memory limit this process is under: the tightest of the cgroup's limits on the way to the root, and the machine's memory.
 */
export async function memoryLimitBytes(): Promise<number> {
  const meminfo = await readFile('/proc/meminfo', 'latin1')
  const limits = [Number(/^MemTotal:\s+(\d+) kB/m.exec(meminfo)?.[1] ?? 0) * 1024]
  for (const file of await limitFiles()) {
    const text = await readFile(file, 'latin1').catch(() => 'max')
    const bytes = Number(text.trim())
    if (Number.isSafeInteger(bytes) && bytes > 0) limits.push(bytes)
  }
  return Math.min(...limits)
}

/** Limit files of cgroup v2 (every ancestor counts) and v1, where they may exist. */
async function limitFiles(): Promise<string[]> {
  const cgroup = await readFile('/proc/self/cgroup', 'latin1').catch(() => '')
  const files = ['/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes']
  const unified = /^0::(\/.*)$/m.exec(cgroup)?.[1]
  for (let path = unified ?? '/'; path !== '/' && path !== ''; path = path.slice(0, path.lastIndexOf('/')))
    files.push(`/sys/fs/cgroup${path}/memory.max`)
  const legacy = /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(\/.+)$/m.exec(cgroup)?.[1]
  if (legacy !== undefined) files.push(`/sys/fs/cgroup/memory${legacy}/memory.limit_in_bytes`)
  return files
}
