/**
 * Artifacts of an MLflow server that lie in folders of this machine. Only folders that the operator named are looked into, with every link
 * resolved: what is read is what was allowed, whatever the registry and whoever can write there say.
 */
import { constants } from 'node:fs'
import { type FileHandle, open, readlink, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import type { RemoteFile } from '../domain/remote-source.ts'
import { SOURCE_BOUNDS } from '../domain/source-identity.ts'
import { isGone, isInside, listTree } from '../lib/file-tree.ts'
import { type ObjectReader, ReadFailure } from '../store/object-reader.ts'

const SCHEME = 'file://'
/** A link put there since the file was listed is not followed, and a pipe is not waited for: it would hold a thread for ever. */
const READ = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

export function isLocalFile({ location }: RemoteFile): boolean {
  return location.startsWith(SCHEME)
}

/** @param roots folders that are allowed, absolute @throws ReadFailure */
export async function localFiles(dir: string, roots: readonly string[], signal: AbortSignal): Promise<RemoteFile[]> {
  try {
    const { realPath, files, problem } = await listTree(dir, SOURCE_BOUNDS, signal)
    const allowed = await Promise.all(roots.map((root) => realpath(root).catch(() => undefined)))
    if (!allowed.some((root) => root !== undefined && (realPath === root || isInside(realPath, root))))
      throw new ReadFailure('denied', 'its folder is a link that leads out of the folders that are allowed')
    const linked = files.find(({ links }) => links > 1)
    const wrong = problem ?? (linked === undefined ? undefined : `'${linked.path}' has ${linked.links} hard links`)
    if (wrong !== undefined) throw new ReadFailure('denied', `its folder is refused: ${wrong}`)
    return files.map(({ path, bytes }) => ({ path, bytes, location: `${SCHEME}${join(realPath, path)}` }))
  } catch (error) {
    if (error instanceof ReadFailure) throw error
    signal.throwIfAborted()
    throw asFailure(error)
  }
}

export const localReader: ObjectReader = {
  ranges: false,
  async read({ location, bytes }, from, to, signal) {
    const path = location.slice(SCHEME.length)
    let file: FileHandle | undefined
    try {
      file = await open(path, READ)
      if (!(await isStill(file, path, bytes))) throw new ReadFailure('replaced', 'there is another file by now')
      signal.throwIfAborted()
      const stream = file.createReadStream({ start: from, end: to - 1, signal })
      // It may fail or be aborted before it is read, and an 'error' that nobody listens to ends the process.
      stream.on('error', () => undefined)
      return stream
    } catch (error) {
      await file?.close()
      signal.throwIfAborted()
      throw error instanceof ReadFailure ? error : asFailure(error)
    }
  },
}

/** Whether what was opened is the file that was listed. A folder on the way to it may be a link by now. */
async function isStill(file: FileHandle, path: string, bytes: number): Promise<boolean> {
  const facts = await file.stat()
  if (!facts.isFile() || facts.size !== bytes || facts.nlink > 1) return false
  return (await readlink(`/proc/self/fd/${file.fd}`)) === path
}

function asFailure(error: unknown): ReadFailure {
  return isGone(error)
    ? new ReadFailure('missing', 'its folder is gone')
    : new ReadFailure('denied', 'its folder cannot be read')
}
