/** What a process and all its descendants use, as Linux tells it: CPU time, proportional and private memory. */
import { readdir, readFile } from 'node:fs/promises'
import { parseStatus } from '../../src/child/memory.ts'

export interface TreeUsage {
  readonly processes: number
  /** User and system time since start, children that ended included. */
  readonly cpuSeconds: number
  /** Proportional set size: a page shared by two processes counts half in each. */
  readonly pssBytes: number
  /** Private anonymous memory: what comes back when the processes end. */
  readonly privateBytes: number
}

/** Clock ticks of /proc/<pid>/stat per second; the kernel's ABI fixes it for user space on every platform Node has. */
const TICKS_PER_SECOND = 100

interface Stat {
  readonly pid: number
  readonly parent: number
  readonly cpuTicks: number
}

/** Usage of `root` and its descendants; a process that ends meanwhile is left out. Costs some milliseconds per process. */
export async function readTreeUsage(root: number): Promise<TreeUsage> {
  const stats = descendants(root, await allStats())
  const memory = await Promise.all(stats.map(({ pid }) => memoryOf(pid)))
  return {
    processes: stats.length,
    cpuSeconds: stats.reduce((sum, { cpuTicks }) => sum + cpuTicks, 0) / TICKS_PER_SECOND,
    pssBytes: memory.reduce((sum, { pss }) => sum + pss, 0),
    privateBytes: memory.reduce((sum, row) => sum + row.private, 0),
  }
}

/** CPU seconds of the tree only: much cheaper than its memory. */
export async function readTreeCpuSeconds(root: number): Promise<number> {
  const stats = descendants(root, await allStats())
  return stats.reduce((sum, { cpuTicks }) => sum + cpuTicks, 0) / TICKS_PER_SECOND
}

/** `root` and its descendants. */
export async function treeOf(root: number): Promise<number[]> {
  return descendants(root, await allStats()).map(({ pid }) => pid)
}

/** One line of /proc/<pid>/stat; the command's name may hold blanks and parentheses, so fields count from the last one. */
export function parseStat(line: string): Stat {
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ')
  const field = (oneBased: number) => Number(fields[oneBased - 3])
  return {
    pid: Number.parseInt(line, 10),
    parent: field(4),
    cpuTicks: field(14) + field(15) + field(16) + field(17),
  }
}

/** Pss of /proc/<pid>/smaps_rollup in bytes. */
export function parsePss(rollup: string): number {
  return Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0) * 1024
}

function descendants(root: number, all: readonly Stat[]): Stat[] {
  const found = all.filter(({ pid }) => pid === root)
  for (let at = 0; at < found.length; at += 1) found.push(...all.filter(({ parent }) => parent === found[at]?.pid))
  return found
}

async function allStats(): Promise<Stat[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/stat`, 'latin1').catch(() => undefined)))
  return lines.filter((line) => line !== undefined).map(parseStat)
}

async function memoryOf(pid: number): Promise<{ pss: number; private: number }> {
  const read = (name: string) => readFile(`/proc/${pid}/${name}`, 'latin1').catch(() => '')
  const [rollup, status] = await Promise.all([read('smaps_rollup'), read('status')])
  return { pss: parsePss(rollup), private: parseStatus(status).privateBytes }
}
