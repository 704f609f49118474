/**
 * A lock between processes that the kernel lets go of, however its holder ends: a folder with the Unix socket of who holds it,
 *
 *   <path>/<random>.sock    listens while its holder lives
 *
 * The socket is bound in a folder of its own, which is then renamed to the lock's name: that succeeds only where nothing, or an
 * empty folder, is there, so one of many wins. Whoever finds a socket that nobody answers at removes that one name, which no living
 * holder can have, and tries again. No clock and no lease: a holder that is stopped still holds.
 */
import { randomBytes } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { mkdir, open, readdir, rename, rm, rmdir } from 'node:fs/promises'
import type { Server } from 'node:net'
import { connect, createServer, Socket } from 'node:net'
import { join } from 'node:path'
import { isGone } from './file-tree.ts'

/** Only this user's processes may connect, and with that keep a descriptor of the holder busy. */
const FOLDER_MODE = 0o700
const OCCUPIED: ReadonlySet<unknown> = new Set(['ENOTEMPTY', 'EEXIST'])
const SILENT: ReadonlySet<unknown> = new Set(['ECONNREFUSED', 'ECONNRESET', 'ENOENT', 'ENOTDIR'])

export class LiveLock {
  readonly #path: string
  readonly #folder: FileHandle
  readonly #server: Server
  readonly #waiting: Set<Socket>
  #released: Promise<void> | undefined

  private constructor(path: string, folder: FileHandle, server: Server, waiting: Set<Socket>) {
    this.#path = path
    this.#folder = folder
    this.#server = server
    this.#waiting = waiting
  }

  /** The folder that `path` lies in must exist. Waits for who holds it. @throws the signal's reason; errors of the file system */
  static async take(path: string, signal?: AbortSignal): Promise<LiveLock> {
    for (;;) {
      signal?.throwIfAborted()
      const taken = await attempt(path)
      if (!(taken instanceof Socket)) return new LiveLock(path, taken.folder, taken.server, taken.waiting)
      await closed(taken, signal)
    }
  }

  /** Undefined when somebody alive holds it. */
  static async tryTake(path: string): Promise<LiveLock | undefined> {
    const taken = await attempt(path)
    if (!(taken instanceof Socket)) return new LiveLock(path, taken.folder, taken.server, taken.waiting)
    taken.destroy()
    return undefined
  }

  /** From the call on somebody else may have it. Idempotent. */
  release(): Promise<void> {
    this.#released ??= this.#release()
    return this.#released
  }

  async #release(): Promise<void> {
    await unbind(this.#folder, this.#server)
    // Only an empty folder goes: one that is not belongs to the next holder.
    await rmdir(this.#path).catch(() => {})
    for (const socket of this.#waiting) socket.destroy()
  }
}

interface Bound {
  readonly folder: FileHandle
  readonly server: Server
  /** Connections of those that wait for the end of this one. */
  readonly waiting: Set<Socket>
}

/** The lock, or a connection to who holds it. */
async function attempt(path: string): Promise<Bound | Socket> {
  const own = `${path}.${randomBytes(6).toString('hex')}`
  await mkdir(own, { mode: FOLDER_MODE })
  let bound: Bound | undefined
  try {
    bound = await bind(own)
    for (;;) {
      if (await isMoved(own, path)) return bound
      const holder = await holderOf(path)
      if (holder === undefined) continue
      await giveUp(own, bound)
      return holder
    }
  } catch (error) {
    await giveUp(own, bound)
    throw error
  }
}

async function giveUp(own: string, bound: Bound | undefined): Promise<void> {
  if (bound !== undefined) await unbind(bound.folder, bound.server)
  await rm(own, { recursive: true, force: true })
}

async function isMoved(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && OCCUPIED.has(error.code)) return false
    throw error
  }
}

/** A connection to a living holder; undefined when there is none, and then the folder is empty, gone, or somebody else's by now. */
async function holderOf(path: string): Promise<Socket | undefined> {
  let folder: FileHandle | undefined
  try {
    folder = await open(path)
    for (const name of await readdir(placeOf(folder))) {
      const holder = await answered(join(placeOf(folder), name))
      if (holder !== undefined) return holder
      await rm(join(placeOf(folder), name), { force: true })
    }
    return undefined
  } catch (error) {
    if (isGone(error)) return undefined
    throw error
  } finally {
    await folder?.close()
  }
}

/** Undefined when nobody listens there any more. @throws for anything else that keeps from connecting: that says nothing of the holder */
function answered(path: string): Promise<Socket | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => {
      socket.off('error', fail)
      // A holder that dies says so by the close that follows.
      socket.on('error', () => {})
      resolve(socket)
    })
    const fail = (error: Error): void => {
      if ('code' in error && SILENT.has(error.code)) resolve(undefined)
      else reject(error)
    }
    socket.once('error', fail)
  })
}

function closed(socket: Socket, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    // It may have ended while the own place was given up.
    if (socket.closed) return resolve()
    const leave = (): void => {
      socket.destroy()
      reject(signal?.reason)
    }
    socket.once('close', () => {
      signal?.removeEventListener('abort', leave)
      resolve()
    })
    signal?.addEventListener('abort', leave, { once: true })
    if (signal?.aborted === true) leave()
    socket.resume()
  })
}

async function bind(own: string): Promise<Bound> {
  const folder = await open(own)
  const waiting = new Set<Socket>()
  const server = createServer((socket) => {
    waiting.add(socket)
    socket.on('close', () => waiting.delete(socket))
    socket.on('error', () => {})
    socket.unref().resume()
  })
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(join(placeOf(folder), `${randomBytes(6).toString('hex')}.sock`), resolve)
    })
    return { folder, server: server.unref(), waiting }
  } catch (error) {
    await folder.close()
    throw error
  }
}

/** Closing removes the socket's file, through the folder's descriptor: by name it may be somebody else's. */
async function unbind(folder: FileHandle, server: Server): Promise<void> {
  server.close()
  await folder.close()
}

/** A socket's path may have 107 bytes at most; this one is short wherever the folder lies. */
function placeOf(folder: FileHandle): string {
  return `/proc/self/fd/${folder.fd}`
}
