/**
 * The artifacts of a cache folder that another process owns: asks the owner for everything but the bytes, which it opens itself, so
 * that all processes on the folder share pages. Writes and deletes nothing there.
 */
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { ChildCalls, ChildGoneError } from '../child/calls.ts'
import type { Manifest } from '../domain/artifact.ts'
import { GatewayError } from '../domain/errors.ts'
import type { Signature } from '../domain/tensor-types.ts'
import { detach } from '../lib/detach.ts'
import { waitFor } from '../lib/wait-for.ts'
import type { ArtifactRoom, ClientRequest, Compiled, PagedIn, ProbeSource } from './artifact-room.ts'
import { connectToOwner, FolderInUseError } from './folder-lock.ts'
import type { FolderTerms } from './folder-terms.ts'
import type { HelloReply, OwnerEvent, RemoteSource, UnchangedQuestion } from './owner-protocol.ts'
import { OWNER_CALLS } from './owner-protocol.ts'
import type { ArtifactSource } from './source.ts'

/** The owner is gone or going, and what was asked of it is to be asked of the next. */
export class OwnerGoneError extends Error {}

export interface GuestOptions {
  /** Absolute path of the cache folder. */
  readonly dir: string
  readonly terms: FolderTerms
  /** Ends the wait for an owner that does not answer. */
  readonly signal: AbortSignal
  /** Files that were found not to be what was written, relative to the folder. */
  readonly onCorrupt: (paths: readonly string[]) => void
}

export class ArtifactGuest implements ArtifactRoom {
  readonly #dir: string
  readonly #socket: Socket
  readonly #calls: ChildCalls
  /** What the owner may ask about, by the number it was given. */
  readonly #asked = new Map<number, ArtifactSource>()
  #lastAsk = 0

  private constructor({ dir, onCorrupt }: GuestOptions, socket: Socket) {
    this.#dir = dir
    this.#socket = socket
    this.#calls = new ChildCalls(socket, (payload) => {
      const event = JSON.parse(payload.toString()) as OwnerEvent
      if ('corrupt' in event) onCorrupt(event.corrupt)
      else this.#answer(event)
    })
    this.gone = new Promise((resolve) => void socket.once('close', () => resolve()))
  }

  /** Resolves when the owner is gone, or the connection was closed here. */
  readonly gone: Promise<void>

  /** @returns undefined when nobody owns the folder just now. @throws FolderInUseError when the owner does not take this process */
  static async join(options: GuestOptions): Promise<ArtifactGuest | undefined> {
    const { dir, terms, signal } = options
    const socket = await connectToOwner(dir)
    if (socket === undefined) return undefined
    const guest = new ArtifactGuest(options, socket)
    const cut = () => socket.destroy()
    signal.addEventListener('abort', cut, { once: true })
    if (signal.aborted) cut()
    try {
      const { refusal } = await guest.#call<HelloReply>(OWNER_CALLS.hello, { terms })
      if (refusal === undefined) return guest
      throw new FolderInUseError(
        `the cache folder ${dir} is in use by another modelmux, which has ${refusal}; start both alike, stop that one, or name another folder with --cache`,
      )
    } catch (error) {
      socket.destroy()
      if (error instanceof OwnerGoneError) return undefined
      throw error
    } finally {
      signal.removeEventListener('abort', cut)
    }
  }

  async find(sourceId: string): Promise<Manifest | undefined> {
    return (await this.#call<Manifest | null>(OWNER_CALLS.find, { sourceId })) ?? undefined
  }

  compile(source: ArtifactSource, signal?: AbortSignal): Promise<Compiled> {
    return waitFor(
      this.#withSource(source, (remote) => this.#call<Compiled>(OWNER_CALLS.compile, { source: remote })),
      signal,
    )
  }

  recheck(source: ArtifactSource, { body, jsonBytes }: ClientRequest): Promise<Manifest> {
    return this.#withSource(source, (remote) =>
      this.#call<Manifest>(OWNER_CALLS.recheck, { source: remote, body: body.toString('base64'), jsonBytes }),
    )
  }

  probe(artifact: string, { tenant, warmUp, intraOpThreads }: ProbeSource): Promise<Manifest> {
    return this.#call(OWNER_CALLS.probe, { artifact, tenant, warmUp, intraOpThreads })
  }

  inspect({ tenant, dir, modelFile }: Pick<ArtifactSource, 'tenant' | 'dir' | 'modelFile'>): Promise<Signature> {
    return this.#call(OWNER_CALLS.inspect, { tenant, dir, modelFile })
  }

  checkFiles({ artifact }: Manifest): Promise<boolean> {
    return this.#call(OWNER_CALLS.checkFiles, { artifact })
  }

  pageIn({ artifact }: Manifest, signal?: AbortSignal): Promise<PagedIn> {
    return waitFor(this.#call<PagedIn>(OWNER_CALLS.pageIn, { artifact }), signal)
  }

  verify(artifact: string): Promise<readonly string[]> {
    return this.#call(OWNER_CALLS.verify, { artifact })
  }

  fileOf(manifest: Manifest): string {
    return join(this.#dir, manifest.file)
  }

  hold(artifact: string): () => void {
    this.#tell(OWNER_CALLS.hold, { artifact })
    let isHeld = true
    return () => {
      if (isHeld) this.#tell(OWNER_CALLS.letGo, { artifact })
      isHeld = false
    }
  }

  close(): Promise<void> {
    this.#socket.destroy()
    return this.gone
  }

  async #call<T>(kind: number, call: object): Promise<T> {
    try {
      return JSON.parse((await this.#calls.call(kind, [Buffer.from(JSON.stringify(call))])).toString()) as T
    } catch (error) {
      const isLeaving = error instanceof GatewayError && error.code === 'DRAINING'
      if (!isLeaving && !(error instanceof ChildGoneError)) throw error
      throw new OwnerGoneError('the owner of the cache folder went away', { cause: error })
    }
  }

  /** An owner that is gone holds nothing, and its successor is told anew. */
  #tell(kind: number, call: object): void {
    detach(
      this.#call(kind, call).catch((error: unknown) => {
        if (!(error instanceof OwnerGoneError)) throw error
      }),
    )
  }

  async #withSource<T>(source: ArtifactSource, call: (remote: RemoteSource) => Promise<T>): Promise<T> {
    const ask = ++this.#lastAsk
    this.#asked.set(ask, source)
    const { key, sourceId, tenant, dir, modelFile, files, bytes, digest, warmUp, intraOpThreads } = source
    const remote = { ask, key, sourceId, tenant, dir, modelFile, files, bytes, warmUp, intraOpThreads }
    try {
      return await call(digest === undefined ? remote : { ...remote, digest })
    } finally {
      this.#asked.delete(ask)
    }
  }

  #answer({ ask, question }: UnchangedQuestion): void {
    const source = this.#asked.get(ask)
    const tell = (isUnchanged: boolean) => this.#tell(OWNER_CALLS.unchanged, { question, isUnchanged })
    if (source === undefined) tell(false)
    else source.isUnchanged().then(tell, () => tell(false))
  }
}
