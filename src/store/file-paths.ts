/** Paths that remote services and archives give, before any of them becomes a name on this disk. */
import { printable } from '../domain/model-ref.ts'
import { SOURCE_BOUNDS } from '../domain/source-identity.ts'

const MAX_NAME_BYTES = 255
const MAX_PATH_BYTES = 1024

/** What is wrong with a path relative to a version's folder; undefined: nothing. */
export function pathProblem(path: string): string | undefined {
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

/** What keeps these from lying in one folder together; undefined: nothing. Each path is checked too. */
export function pathsProblem(paths: readonly string[]): string | undefined {
  if (paths.length > SOURCE_BOUNDS.maxFiles) return `there are more than ${SOURCE_BOUNDS.maxFiles} files`
  const files = new Set<string>()
  for (const path of paths) {
    const problem = pathProblem(path)
    if (problem !== undefined) return `'${printable(path)}' cannot be a file of a model: ${problem}`
    if (files.has(path)) return `'${printable(path)}' is there twice`
    files.add(path)
  }
  for (const path of paths) {
    for (let at = path.indexOf('/'); at !== -1; at = path.indexOf('/', at + 1))
      if (files.has(path.slice(0, at))) return `'${printable(path.slice(0, at))}' is a file and a folder`
  }
  return undefined
}
