/**
 * Lists the regular files below a folder, with bounds, following symbolic links only where they stay inside it.
 *
 * The walk is a generator that asks for file system calls, so that one walk serves a thread that may block
 * (`listTreeSync`) and one that may not (`listTree`).
 */
import { type BigIntStats, readdirSync, realpathSync, statSync } from 'node:fs'
import { readdir, realpath, stat } from 'node:fs/promises'
import { join, sep } from 'node:path'

/** What `stat` tells of a file or folder; times in nanoseconds since 1970. */
export interface NodeFacts {
  /** Relative to the folder, with forward slashes; '' for the folder itself. */
  readonly path: string
  readonly bytes: number
  readonly mtimeNs: bigint
  readonly ctimeNs: bigint
  readonly inode: bigint
  /** Hard links. */
  readonly links: number
}

export interface TreeListing {
  /** The folder with all links resolved. */
  readonly realPath: string
  /** Sorted by path, by UTF-16 code units. Names that begin with a dot are left out: they are what copying tools and editors leave. */
  readonly files: readonly NodeFacts[]
  /** The folder itself first, then every folder below it. */
  readonly dirs: readonly NodeFacts[]
  /** The first thing against the tree: a link that leads outside or nowhere, or a bound that was reached. */
  readonly problem: string | undefined
}

export interface TreeBounds {
  readonly maxDepth: number
  readonly maxFiles: number
}

type Step =
  | { readonly call: 'list'; readonly path: string }
  | { readonly call: 'stat'; readonly path: string }
  | { readonly call: 'realpath'; readonly path: string }

interface Entry {
  readonly name: string
  readonly isLink: boolean
}
interface RawStat {
  readonly kind: 'file' | 'dir' | 'other'
  readonly facts: Omit<NodeFacts, 'path'>
}
type Walk<T> = Generator<Step, T, unknown>

/** Blocks the thread. @throws the file system's error when the folder itself cannot be read or vanishes meanwhile */
export function listTreeSync(folder: string, bounds: TreeBounds): TreeListing {
  const walk = walkTree(folder, bounds)
  let next = walk.next()
  while (next.done !== true) {
    let answer: unknown
    try {
      answer = performSync(next.value)
    } catch (error) {
      next = walk.throw(error)
      continue
    }
    next = walk.next(answer)
  }
  return next.value
}

/** As `listTreeSync`, without blocking. */
export async function listTree(folder: string, bounds: TreeBounds, signal?: AbortSignal): Promise<TreeListing> {
  const walk = walkTree(folder, bounds)
  let next = walk.next()
  while (next.done !== true) {
    signal?.throwIfAborted()
    let answer: unknown
    try {
      answer = await perform(next.value)
    } catch (error) {
      next = walk.throw(error)
      continue
    }
    next = walk.next(answer)
  }
  return next.value
}

/** Same files, bytes, times and inodes: nothing was written between two listings. */
export function isSameTree(a: TreeListing, b: TreeListing): boolean {
  return a.files.length === b.files.length && a.files.every((file, index) => isSameNode(file, b.files[index]))
}

export function isSameNode(a: NodeFacts, b: NodeFacts | undefined): boolean {
  return (
    b !== undefined &&
    a.path === b.path &&
    a.bytes === b.bytes &&
    a.mtimeNs === b.mtimeNs &&
    a.ctimeNs === b.ctimeNs &&
    a.inode === b.inode
  )
}

/** Facts of one file or folder, or undefined when there is none. Blocks the thread. @throws other errors of the file system */
export function statFactsSync(path: string): RawStat | undefined {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false })
  return found === undefined ? undefined : rawStat(found)
}

function* walkTree(folder: string, { maxDepth, maxFiles }: TreeBounds): Walk<TreeListing> {
  const files: NodeFacts[] = []
  const dirs: NodeFacts[] = []
  const realPath = yield* ask<string>({ call: 'realpath', path: folder })
  const open: Array<{ readonly path: string; readonly real: string; readonly depth: number }> = []
  const visited = new Set([realPath])
  let problem: string | undefined

  dirs.push({ path: '', ...(yield* ask<RawStat>({ call: 'stat', path: realPath })).facts })
  open.push({ path: '', real: realPath, depth: 0 })
  for (let dir = open.pop(); dir !== undefined; dir = open.pop()) {
    for (const entry of yield* ask<Entry[]>({ call: 'list', path: dir.real })) {
      if (entry.name.startsWith('.')) continue
      const path = dir.path === '' ? entry.name : `${dir.path}/${entry.name}`
      let real = join(dir.real, entry.name)
      if (entry.isLink) {
        const target = yield* orUndefined<string>({ call: 'realpath', path: real })
        if (target === undefined || !isInside(target, realPath)) {
          problem ??= `the link '${path}' leads ${target === undefined ? 'nowhere' : 'out of the folder'}`
          continue
        }
        real = target
      }
      const found = yield* orUndefined<RawStat>({ call: 'stat', path: real })
      if (found?.kind === 'file') {
        if (files.length >= maxFiles)
          return { realPath, files: sorted(files), dirs, problem: `there are more than ${maxFiles} files` }
        files.push({ path, ...found.facts })
      } else if (found?.kind === 'dir' && !visited.has(real)) {
        if (dir.depth >= maxDepth) {
          problem ??= `'${path}' lies deeper than ${maxDepth} folders`
          continue
        }
        visited.add(real)
        dirs.push({ path, ...found.facts })
        open.push({ path, real, depth: dir.depth + 1 })
      }
    }
  }
  return { realPath, files: sorted(files), dirs, problem }
}

export function isInside(path: string, folder: string): boolean {
  return path.startsWith(folder.endsWith(sep) ? folder : `${folder}${sep}`)
}

function sorted(files: NodeFacts[]): NodeFacts[] {
  return files.sort((a, b) => (a.path < b.path ? -1 : 1))
}

function* ask<T>(step: Step): Walk<T> {
  return (yield step) as T
}

/** What vanished between listing and looking is not there. */
function* orUndefined<T>(step: Step): Walk<T | undefined> {
  try {
    return (yield step) as T
  } catch (error) {
    if (isGone(error)) return undefined
    throw error
  }
}

/** The file system says that there is nothing, rather than that it cannot tell. */
export function isGone(error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    (error.code === 'ENOENT' || error.code === 'ENOTDIR' || error.code === 'ELOOP')
  )
}

function performSync(step: Step): unknown {
  if (step.call === 'list') return readdirSync(step.path, { withFileTypes: true }).map(entryOf)
  return step.call === 'stat' ? rawStat(statSync(step.path, { bigint: true })) : realpathSync.native(step.path)
}

async function perform(step: Step): Promise<unknown> {
  if (step.call === 'list') return (await readdir(step.path, { withFileTypes: true })).map(entryOf)
  return step.call === 'stat' ? rawStat(await stat(step.path, { bigint: true })) : await realpath(step.path)
}

function entryOf(entry: { name: string; isSymbolicLink(): boolean }): Entry {
  return { name: entry.name, isLink: entry.isSymbolicLink() }
}

function rawStat(found: BigIntStats): RawStat {
  return {
    kind: found.isFile() ? 'file' : found.isDirectory() ? 'dir' : 'other',
    facts: {
      bytes: Number(found.size),
      mtimeNs: found.mtimeNs,
      ctimeNs: found.ctimeNs,
      inode: found.ino,
      links: Number(found.nlink),
    },
  }
}
