/**
 * The store's end of the digest thread. Ranges of an object arrive out of order; the thread follows the beginning that is complete,
 * so that little is left to read when the last byte arrives. On the serving thread, a gigabyte would take 0.6 to 2.5 s of it.
 */
import { Worker } from 'node:worker_threads'
import type { CrcKind, DigestCommand, DigestReply, Digests } from './digest-messages.ts'
import { FileDigest } from './file-digest.ts'

/** One file under way. Ended with `end` or `abandon`. */
export interface Following {
  /** The first `bytes` bytes are written. */
  follow(bytes: number): void
  /** The file is written from its beginning again. */
  restart(): void
  /** Of the first `bytes` bytes. @throws Error when the file cannot be read, or the thread died */
  end(bytes: number): Promise<Digests>
  abandon(): void
}

/** Smaller files are read in one go where they are: a thread takes longer to be told of them. */
const INLINE_BYTES = 2 ** 20
/** The thread is told of every so many bytes. */
const FOLLOW_BYTES = 4 * 2 ** 20

/** A digest from its beginning until its answer is taken. */
interface Pending {
  failure?: Error
  settle?: { readonly resolve: (digests: Digests) => void; readonly reject: (error: Error) => void }
}

export class DigestThread {
  #worker: Worker | undefined
  #lastId = 0
  readonly #pending = new Map<number, Pending>()
  /** Of `#pending`, those whose answer is waited for: they keep the process alive. */
  #awaited = 0

  /** The file must exist. `bytes`: what it will have. */
  begin(path: string, bytes: number, crc: CrcKind | undefined): Following {
    if (bytes <= INLINE_BYTES) return inline(path, crc)
    const id = ++this.#lastId
    let told = 0
    this.#pending.set(id, {})
    this.#send({ kind: 'begin', id, path, crc })
    return {
      follow: (done) => {
        if (done - told < FOLLOW_BYTES) return
        told = done
        this.#send({ kind: 'follow', id, bytes: done })
      },
      restart: () => {
        told = 0
        this.#send({ kind: 'restart', id })
      },
      end: (done) => this.#end(id, done),
      abandon: () => {
        if (this.#pending.delete(id)) this.#send({ kind: 'abandon', id })
      },
    }
  }

  /** Whoever still waits for a digest is refused. */
  async close(): Promise<void> {
    await this.#worker?.terminate()
  }

  async #end(id: number, bytes: number): Promise<Digests> {
    this.#awaited++
    try {
      return await new Promise<Digests>((resolve, reject) => {
        const pending = this.#pending.get(id)
        if (pending?.failure !== undefined) return reject(pending.failure)
        if (pending !== undefined) pending.settle = { resolve, reject }
        this.#send({ kind: 'end', id, bytes })
        if (this.#awaited === 1) this.#worker?.ref()
      })
    } finally {
      if (--this.#awaited === 0) this.#worker?.unref()
      this.#pending.delete(id)
    }
  }

  #send(command: DigestCommand): void {
    this.#worker ??= this.#start()
    this.#worker.postMessage(command, [])
  }

  #start(): Worker {
    // The entry is a sibling of this module, in source and in the packed form alike.
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
    const worker = new Worker(new URL(`./digest-main.${extension}`, import.meta.url), {
      name: 'store-digests',
      env: {},
    })
    worker.on('message', (reply: DigestReply) => this.#onReply(reply))
    worker.on('error', (error) => this.#onDeath(error))
    worker.on('exit', () => {
      if (this.#worker === worker) this.#worker = undefined
      this.#onDeath(new Error('the digest thread ended'))
    })
    worker.unref()
    return worker
  }

  #onReply(reply: DigestReply): void {
    if (!('digests' in reply)) this.#fail(reply.id, new Error(reply.error))
    else this.#pending.get(reply.id)?.settle?.resolve(reply.digests)
  }

  #onDeath(error: unknown): void {
    const reason = error instanceof Error ? error : new Error(String(error))
    for (const id of this.#pending.keys()) this.#fail(id, reason)
  }

  #fail(id: number, error: Error): void {
    const pending = this.#pending.get(id)
    if (pending === undefined) return
    pending.failure ??= error
    pending.settle?.reject(error)
  }
}

function inline(path: string, crc: CrcKind | undefined): Following {
  return {
    follow() {},
    restart() {},
    async end(bytes) {
      const file = new FileDigest(path, crc)
      try {
        return file.end(bytes)
      } finally {
        file.close()
      }
    },
    abandon() {},
  }
}
