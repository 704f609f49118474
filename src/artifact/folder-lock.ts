/**
 * One process at a time owns a cache folder. The lock is a Unix socket bound inside it: the kernel lets go of it with its process,
 * however that ends, and whoever comes next can tell a living owner (it accepts) from a dead one (it refuses).
 */
import { randomBytes } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { open, rename, rm } from 'node:fs/promises'
import type { Server } from 'node:net'
import { connect, createServer } from 'node:net'

/** The folder belongs to another process that is alive. */
export class FolderInUseError extends Error {}

const NAME = 'owner.sock'
/** Rounds with others that start at the same moment after a crash. */
const MAX_TRIES = 20

export class FolderLock {
  readonly #server: Server
  readonly #folder: FileHandle

  private constructor(server: Server, folder: FileHandle) {
    this.#server = server
    this.#folder = folder
  }

  /** The folder must exist. @throws FolderInUseError; errors of a file system that holds no sockets */
  static async take(dir: string): Promise<FolderLock> {
    const folder = await open(dir)
    // A socket's path may have 107 bytes at most; this one is short wherever the folder lies.
    const place = `/proc/self/fd/${folder.fd}/`
    try {
      for (let tries = 0; tries < MAX_TRIES; tries++) {
        const server = await bind(place + NAME)
        if (server !== undefined) return new FolderLock(server, folder)
        if (await isAnswered(place + NAME)) break
        if (!(await clearAway(place))) break
      }
      throw new FolderInUseError(
        `the cache folder ${dir} is in use by another modelmux; stop that one, or name another folder with --cache`,
      )
    } catch (error) {
      await folder.close()
      throw error
    }
  }

  /** Idempotent. */
  async release(): Promise<void> {
    // Closing removes the socket's file, by the path that leads through the open folder.
    await new Promise<void>((resolve) => void this.#server.close(() => resolve()))
    await this.#folder.close()
  }
}

/** Undefined when something lies there already. */
function bind(path: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy())
    server.once('error', (error) => {
      if ('code' in error && error.code === 'EADDRINUSE') resolve(undefined)
      else reject(error)
    })
    server.listen(path, () => resolve(server.unref()))
  })
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

/**
 * Removes a dead owner's socket. It is moved aside first and asked once more: in between, another starter may have replaced it by its own.
 * @returns false when that is so
 */
async function clearAway(place: string): Promise<boolean> {
  const aside = `${place}owner-${randomBytes(6).toString('hex')}.sock`
  try {
    await rename(place + NAME, aside)
  } catch {
    // Someone else cleared it away.
    return true
  }
  if (await isAnswered(aside)) {
    await rename(aside, place + NAME)
    return false
  }
  await rm(aside, { force: true })
  return true
}
