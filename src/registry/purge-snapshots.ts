/** Takes models out of what remote registries knew on local disk, whichever registries those were. Nobody else may be at the folder. */
import { createReadStream } from 'node:fs'
import { open, readdir, rename, rm, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

export interface SnapshotsPurge {
  readonly models: readonly string[]
  /** Of their versions. */
  readonly sourceIds: readonly string[]
}

interface Line {
  readonly report?: { readonly name?: unknown; readonly versions?: ReadonlyArray<{ readonly sourceId?: unknown }> }
  readonly end?: unknown
}

const SNAPSHOT = /^[0-9a-f]+\.jsonl$/

/** @throws errors of the file system other than that there is no such folder */
export async function purgeSnapshots(
  dir: string,
  isNamed: (name: string) => boolean,
  isDryRun: boolean,
): Promise<SnapshotsPurge> {
  const models = new Set<string>()
  const sourceIds = new Set<string>()
  for (const file of (await readdir(dir).catch(() => [])).filter((name) => SNAPSHOT.test(name))) {
    const path = join(dir, file)
    const isTheirs = ({ report }: Line): boolean => typeof report?.name === 'string' && isNamed(report.name)
    let found = 0
    for await (const { line } of linesOf(path)) {
      if (!isTheirs(line)) continue
      found++
      models.add(String(line.report?.name))
      for (const { sourceId } of line.report?.versions ?? []) if (typeof sourceId === 'string') sourceIds.add(sourceId)
    }
    if (found > 0 && !isDryRun) await rewrite(path, found, isTheirs)
  }
  return { models: [...models], sourceIds: [...sourceIds] }
}

async function rewrite(path: string, removed: number, isTheirs: (line: Line) => boolean): Promise<void> {
  const partial = `${path}.${process.pid}.part`
  const before = await open(path)
  const { atimeMs, mtimeMs } = await before.stat()
  await before.close()
  const file = await open(partial, 'w', 0o600)
  try {
    for await (const { line, text } of linesOf(path)) {
      if (typeof line.end === 'number') await file.write(`${JSON.stringify({ end: line.end - removed })}\n`)
      else if (!isTheirs(line)) await file.write(`${text}\n`)
    }
    await file.sync()
    await file.close()
    // Its time says when it was last true.
    await utimes(partial, atimeMs / 1000, mtimeMs / 1000)
    await rename(partial, path)
  } catch (error) {
    await file.close().catch(() => undefined)
    await rm(partial, { force: true })
    throw error
  }
}

async function* linesOf(path: string): AsyncGenerator<{ readonly line: Line; readonly text: string }> {
  const input = createReadStream(path)
  for await (const text of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY }))
    yield { line: parsed(text), text }
}

/** A line that is none stays as it is: the whole file is of no use then, which its reader finds. */
function parsed(text: string): Line {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : {}
  } catch {
    return {}
  }
}
