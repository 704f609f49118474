/** The processes of a server by what they are for: who to kill, who grows. */
import { readdir, readFile } from 'node:fs/promises'
import { parseStatus } from '../../src/child/memory.ts'
import { parsePss, treeOf } from './process-tree.ts'

export type Role = 'main' | 'worker' | 'compiler' | 'other'

export interface ServerProcessUsage {
  readonly pid: number
  readonly role: Role
  readonly pssBytes: number
  /** Private anonymous memory. */
  readonly privateBytes: number
  readonly openFiles: number
  readonly mappings: number
}

/** By the entry file on their command line. */
const ENTRIES: readonly (readonly [Role, string])[] = [
  ['worker', 'worker-main'],
  ['compiler', 'compiler-main'],
  ['main', 'main.ts'],
]

/** The tree of `root`, in no order; a process that ends meanwhile is left out. */
export async function readServerProcesses(root: number): Promise<ServerProcessUsage[]> {
  const all = await Promise.all((await treeOf(root)).map((pid) => usageOf(pid)))
  return all.filter((usage) => usage !== undefined)
}

/** Pids of the workers that are up. */
export async function workerPids(root: number): Promise<number[]> {
  const roles = await Promise.all((await treeOf(root)).map(async (pid) => ({ pid, role: await roleOf(pid) })))
  return roles.filter(({ role }) => role === 'worker').map(({ pid }) => pid)
}

async function roleOf(pid: number): Promise<Role> {
  const line = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')
  return ENTRIES.find(([, entry]) => line.includes(entry))?.[0] ?? 'other'
}

async function usageOf(pid: number): Promise<ServerProcessUsage | undefined> {
  try {
    const [rollup, status, maps, files, role] = await Promise.all([
      readFile(`/proc/${pid}/smaps_rollup`, 'latin1'),
      readFile(`/proc/${pid}/status`, 'latin1'),
      readFile(`/proc/${pid}/maps`, 'latin1'),
      readdir(`/proc/${pid}/fd`),
      roleOf(pid),
    ])
    const { privateBytes } = parseStatus(status)
    const mappings = maps.split('\n').length - 1
    return { pid, role, pssBytes: parsePss(rollup), privateBytes, openFiles: files.length, mappings }
  } catch {
    // It ended between the list and the look.
    return undefined
  }
}
