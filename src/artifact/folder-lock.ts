/**
 * One process at a time owns a cache folder: the one that holds the Unix socket with the highest number in its `owner` folder, as in
 *
 *   owner/7.sock    listens while its process lives: the kernel lets go of it, however that ends
 *   owner/7.gone    its process gave the folder up in good order
 *
 * Binding creates a name or fails, and whoever found the highest number dead binds the next one and then looks again. A higher one
 * than its own means that it read an old list; a lower one that answers had been bound and did not listen yet when it was asked: both
 * times it steps back. So no name is ever taken over, and however many come at once after a crash, one wins. Those who come while the
 * owner lives talk to it over that socket.
 */
import type { FileHandle } from 'node:fs/promises'
import { lstat, mkdir, open, readdir, rm, writeFile } from 'node:fs/promises'
import type { Server, Socket } from 'node:net'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { isGone } from '../lib/file-tree.ts'
import { ownerFolder } from './layout.ts'
import { hasCode, isReadOnlyError } from './refusal.ts'

/** The folder belongs to another process that is alive and cannot share it. */
export class FolderInUseError extends Error {}

/** Nothing can be made in the folder. */
export class FolderReadOnlyError extends Error {}

/** Rounds with others that start at the same moment after a crash. */
const MAX_TRIES = 100
/** Only this process's user may connect: whoever can may have any file read that the owner can read. */
const OTHERS_MASK = 0o177
const FOLDER_MODE = 0o700

type GuestHandler = (socket: Socket) => void

/** Does a process answer at this path? */
export type AskPath = (path: string) => Promise<boolean>

export class FolderLock {
  readonly #server: Server
  readonly #folder: FileHandle
  readonly #number: number
  readonly #sockets = new Set<Socket>()
  #onGuest: GuestHandler | undefined
  #released: Promise<void> | undefined

  private constructor(server: Server, folder: FileHandle, number: number) {
    this.#server = server
    this.#folder = folder
    this.#number = number
    server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
      // A guest that dies says so by the close that follows.
      socket.on('error', () => {})
      this.#onGuest?.(socket)
    })
  }

  /** The cache folder must exist. @returns undefined when a living process owns it. @throws FolderReadOnlyError; errors of a file system that holds no sockets */
  static async take(dir: string, isAnswered: AskPath = isAnsweredAt): Promise<FolderLock | undefined> {
    let folder: FileHandle | undefined
    try {
      await makeFolder(join(dir, ownerFolder))
      folder = await open(join(dir, ownerFolder))
      for (let tries = 0; tries < MAX_TRIES; tries++) {
        const highest = await highestOf(folder)
        if (await isAnswered(pathOf(folder, highest))) break
        const number = highest + 1
        const server = await bind(pathOf(folder, number))
        if (server === undefined) continue
        const lock = new FolderLock(server, folder, number)
        try {
          if (await lock.#isFirst(isAnswered)) {
            await lock.#clearOlder()
            return lock
          }
        } catch (error) {
          // This process would find it answering, and be a guest of its own.
          await lock.#cut()
          throw error
        }
        await lock.#cut()
      }
    } catch (error) {
      await folder?.close()
      if (!isReadOnlyError(error)) throw error
      throw new FolderReadOnlyError(
        `the cache folder ${dir} is read-only and holds no compiled models; make it writable, or name another folder with --cache`,
        { cause: error },
      )
    }
    await folder.close()
    return undefined
  }

  /** Hands over every connection of others, those that came before too. Called once. */
  onGuest(handler: GuestHandler): void {
    this.#onGuest = handler
    for (const socket of this.#sockets) handler(socket)
  }

  /** Cuts the connections of others. Idempotent. */
  release(): Promise<void> {
    this.#released ??= this.#release()
    return this.#released
  }

  async #release(): Promise<void> {
    // Closing removes the socket's file. The number must not become free: somebody with an old list would bind it once more.
    await writeFile(join(placeOf(this.#folder), `${this.#number}.gone`), '').catch(() => {})
    await this.#cut()
    await this.#folder.close()
  }

  /** Those who are connected wait for an answer that will not come. */
  async #cut(): Promise<void> {
    const closed = new Promise<void>((resolve) => void this.#server.close(() => resolve()))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  /** Whoever bound before this one listens by now, or will look after this and step back. */
  async #isFirst(isAnswered: AskPath): Promise<boolean> {
    const others = (await numbersIn(this.#folder)).filter((number) => number !== this.#number)
    if (others.some((number) => number > this.#number)) return false
    for (const number of others) if (await isAnswered(pathOf(this.#folder, number))) return false
    return true
  }

  /** What fails stays: it says nothing to anybody. */
  async #clearOlder(): Promise<void> {
    const place = placeOf(this.#folder)
    for (const name of await readdir(place)) {
      const number = numberOf(name)
      if (number !== undefined && number < this.#number) await rm(join(place, name), { force: true }).catch(() => {})
    }
  }
}

/**
 * A connection to the owner of the folder, which ends no sooner than its receiver can see it; undefined when nobody owns it just now.
 * @throws FolderInUseError when the owner is another user
 */
export async function connectToOwner(dir: string): Promise<Socket | undefined> {
  const socket = await reachOwner(dir)
  // An owner that goes away cuts it at any time, also before anybody else could listen to it.
  return socket?.destroyed === true ? undefined : socket
}

async function reachOwner(dir: string): Promise<Socket | undefined> {
  let folder: FileHandle | undefined
  try {
    folder = await open(join(dir, ownerFolder))
    const path = pathOf(folder, await highestOf(folder))
    const { uid } = await lstat(path)
    if (uid !== process.geteuid?.()) throw ownedByOther(dir, `user id ${uid}`)
    return await connected(path)
  } catch (error) {
    // Reset: it closed with this connection still in its queue.
    if (isGone(error) || hasCode(error, 'ECONNREFUSED') || hasCode(error, 'ECONNRESET')) return undefined
    throw hasCode(error, 'EACCES') ? ownedByOther(dir, 'which may not be looked at') : error
  } finally {
    await folder?.close()
  }
}

function ownedByOther(dir: string, who: string): FolderInUseError {
  return new FolderInUseError(
    `the cache folder ${dir} is in use by another user's modelmux (${who}); name another folder with --cache`,
  )
}

/** Not with `recursive`, which calls a read-only file system a missing folder. */
async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: FOLDER_MODE })
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error
  }
}

/** A socket's path may have 107 bytes at most; this one is short wherever the folder lies. */
function placeOf(folder: FileHandle): string {
  return `/proc/self/fd/${folder.fd}/`
}

function pathOf(folder: FileHandle, number: number): string {
  return `${placeOf(folder)}${number}.sock`
}

function numberOf(name: string): number | undefined {
  const [, digits] = /^([1-9][0-9]{0,14})\.(?:sock|gone)$/.exec(name) ?? []
  return digits === undefined ? undefined : Number(digits)
}

async function numbersIn(folder: FileHandle): Promise<number[]> {
  return (await readdir(placeOf(folder))).flatMap((name) => numberOf(name) ?? [])
}

/** 0 when nobody ever owned the folder. */
async function highestOf(folder: FileHandle): Promise<number> {
  return (await numbersIn(folder)).reduce((highest, number) => Math.max(highest, number), 0)
}

/** An error that comes later is told by the close that follows: nobody need listen for it, and it ends no process. */
function connected(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => resolve(socket))
    socket.on('error', reject)
  })
}

/** Undefined when the name exists already. */
function bind(path: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', (error) => {
      if (hasCode(error, 'EADDRINUSE')) resolve(undefined)
      else reject(error)
    })
    // The socket's file is made within the call, with this mask: there is no moment at which others may connect.
    const before = process.umask(OTHERS_MASK)
    try {
      server.listen(path, () => resolve(server.unref()))
    } finally {
      process.umask(before)
    }
  })
}

/** Anything but a refusal is life: an owner that is stopped, or has too many connections waiting, owns the folder all the same. */
async function isAnsweredAt(path: string): Promise<boolean> {
  try {
    const socket = await connected(path)
    socket.destroy()
    return true
  } catch (error) {
    return !hasCode(error, 'ECONNREFUSED') && !isGone(error)
  }
}
