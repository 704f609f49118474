/** The entries of one folder as the registry sees them: links followed, hidden names left out. */
import { readdirSync, realpathSync, statSync } from 'node:fs'
import { join, sep } from 'node:path'
import { MODEL_FILES } from '../domain/source-identity.ts'
import { isGone, isInside, statFactsSync } from '../lib/file-tree.ts'

export interface FolderListing {
  /** Everything that is not a folder. */
  readonly files: ReadonlySet<string>
  readonly dirs: ReadonlySet<string>
  /** Names whose bytes are not UTF-8: they cannot be opened by name. */
  readonly garbled: readonly string[]
}

/** `modelsRoot` is the models folder with links resolved. @throws the file system's error when the folder cannot be listed */
export function listFolder(path: string, modelsRoot: string): FolderListing {
  const files = new Set<string>()
  const dirs = new Set<string>()
  const garbled: string[] = []
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const { name } = entry
    if (name.startsWith('.')) continue
    // Node writes U+FFFD for what is not UTF-8; a name may also have it by right.
    if (name.includes('\uFFFD') && statFactsSync(join(path, name)) === undefined) garbled.push(name)
    else if (entry.isDirectory() || (entry.isSymbolicLink() && leadsToDir(path, name, modelsRoot))) dirs.add(name)
    else files.add(name)
  }
  return { files, dirs, garbled }
}

/** Whether a folder directly holds a model file. @throws errors of the file system other than "there is none" */
export function holdsModelFile(path: string): boolean {
  return MODEL_FILES.some((name) => statFactsSync(join(path, name))?.kind === 'file')
}

/** A link counts if it leads to a folder inside the models folder, but not to one that it lies in: that would never end. */
function leadsToDir(parent: string, name: string, modelsRoot: string): boolean {
  try {
    const target = realpathSync.native(join(parent, name))
    const isLoop = `${realpathSync.native(parent)}${sep}`.startsWith(`${target}${sep}`)
    return !isLoop && isInside(target, modelsRoot) && statSync(target).isDirectory()
  } catch (error) {
    if (isGone(error)) return false
    throw error
  }
}
