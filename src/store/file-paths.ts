/** Paths that remote services and archives give, before any of them becomes a name on this disk. */
import { printable } from '../domain/model-ref.ts'
import { SOURCE_BOUNDS } from '../domain/source-identity.ts'

const MAX_NAME_BYTES = 255
const MAX_PATH_BYTES = 1024

/** What is wrong with a path relative to a version's folder; undefined: nothing. */
function pathProblem(path: string): string | undefined {
  if (path === '') return 'it is empty'
  if (path.includes('\0')) return 'it has a NUL'
  if (path.includes('\\')) return 'it has a backslash'
  if (path.startsWith('/')) return 'it is absolute'
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) return `it is longer than ${MAX_PATH_BYTES} bytes`
  const names = path.split('/')
  if (names.length > SOURCE_BOUNDS.maxDepth + 1) return `it lies deeper than ${SOURCE_BOUNDS.maxDepth} folders`
  for (const name of names) {
    if (name === '') return 'a name in it is empty'
    if (name === '.' || name === '..') return `it has '${name}'`
    // Folders are listed without them: they would be there and not be seen.
    if (name.startsWith('.')) return 'a name in it begins with a dot'
    if (Buffer.byteLength(name) > MAX_NAME_BYTES) return `a name in it is longer than ${MAX_NAME_BYTES} bytes`
  }
  return undefined
}

/** Files and folders that are to lie in one folder together. */
export class PathSet {
  readonly #files = new Set<string>()
  readonly #folders = new Set<string>()

  /** Adds a file. @returns what is wrong with its path, by itself or beside the others; undefined: nothing */
  addFile(path: string): string | undefined {
    if (this.#files.has(path)) return `'${printable(path)}' is there twice`
    if (this.#files.size >= SOURCE_BOUNDS.maxFiles) return `there are more than ${SOURCE_BOUNDS.maxFiles} files`
    if (this.#folders.has(path)) return `'${printable(path)}' is a file and a folder`
    const problem = this.#addParents(path)
    this.#files.add(path)
    return problem
  }

  /** As `addFile`. */
  addFolder(path: string): string | undefined {
    return this.#addParents(`${path}/-`)
  }

  #addParents(path: string): string | undefined {
    const problem = pathProblem(path)
    if (problem !== undefined) return `'${printable(path)}' cannot be a file of a model: ${problem}`
    for (let at = path.indexOf('/'); at !== -1; at = path.indexOf('/', at + 1)) {
      const folder = path.slice(0, at)
      if (this.#files.has(folder)) return `'${printable(folder)}' is a file and a folder`
      this.#folders.add(folder)
    }
    return undefined
  }
}

/** What keeps these from being files of one model; undefined: nothing. */
export function pathsProblem(paths: readonly string[]): string | undefined {
  const set = new PathSet()
  for (const path of paths) {
    const problem = set.addFile(path)
    if (problem !== undefined) return problem
  }
  return undefined
}
