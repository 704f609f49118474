/**
 * The artifacts of a cache folder that several processes may use at once: one owns the folder, the others are its guests. When the
 * owner goes away, however that happens, one guest takes the folder over and the others ask that one; what was asked meanwhile is asked
 * again, and what is in use stays in use.
 */
import { resolve } from 'node:path'
import type { Manifest } from '../domain/artifact.ts'
import { GatewayError } from '../domain/errors.ts'
import type { Signature } from '../domain/tensor-types.ts'
import { pause } from '../lib/clock.ts'
import { detach } from '../lib/detach.ts'
import { ArtifactGuest, OwnerGoneError } from './artifact-guest.ts'
import { ArtifactHost } from './artifact-host.ts'
import type { ArtifactRoom, ClientRequest, Compiled, PagedIn, ProbeSource } from './artifact-room.ts'
import { ArtifactStore } from './artifact-store.ts'
import { FolderLock, FolderReadOnlyError } from './folder-lock.ts'
import type { FolderTerms } from './folder-terms.ts'
import { folderTerms } from './folder-terms.ts'
import type { ArtifactStoreOptions } from './options.ts'
import { withDefaults } from './options.ts'
import type { ArtifactSource } from './source.ts'

export interface SharedArtifactsOptions extends ArtifactStoreOptions {
  /** Of modelmux: processes of different versions do not share a folder. */
  readonly version: string
  /** In [0, 1). */
  readonly random: () => number
  /** Called whenever this process begins to own the folder, before anything is done in it. Awaited. */
  onOwned?(): Promise<void>
  /** Called before this process gives the folder up in good order. Awaited. */
  onDisowned?(): Promise<void>
}

/** `reader`: nobody can write to the folder, so nobody owns it. */
export type FolderRole = 'owner' | 'guest' | 'reader'

/** This process's place in the folder for as long as it lasts. */
interface Membership {
  readonly role: FolderRole
  readonly room: ArtifactRoom
  readonly store?: ArtifactStore
  leave(): Promise<void>
}

interface Held {
  readonly artifact: string
  release: () => void
}

/** Between two tries to find an owner or to become one. */
const RETRY_MS = { min: 10, max: 250 } as const
const RETRY_AFTER_MS = 1_000
/** A new owner lets the other guests of the old one say what they use. */
const EVICT_AFTER_MS = 5_000

export class SharedArtifacts implements ArtifactRoom {
  readonly #options: SharedArtifactsOptions
  readonly #dir: string
  readonly #terms: FolderTerms
  readonly #closing = new AbortController()
  readonly #held = new Set<Held>()
  #membership: Promise<Membership>
  /** Undefined between one owner and the next. */
  #current: Membership | undefined
  #wasMember = false
  #closed: Promise<void> | undefined

  private constructor(options: SharedArtifactsOptions, terms: FolderTerms) {
    this.#options = options
    this.#dir = resolve(options.dir)
    this.#terms = terms
    this.#membership = this.#enter()
  }

  /**
   * Owns the folder, or becomes a guest of its owner. The folder must exist.
   * @throws FolderInUseError when the owner does not take this process, FolderReadOnlyError when nothing is there and nothing can be put there
   */
  static async open(options: SharedArtifactsOptions): Promise<SharedArtifacts> {
    const shared = new SharedArtifacts(options, await folderTerms(options.version, withDefaults(options)))
    await shared.#membership
    return shared
  }

  get role(): FolderRole | undefined {
    return this.#current?.role
  }

  /** Of a process that looks after the folder by itself; a guest has nothing to tell of it. */
  get store(): ArtifactStore | undefined {
    return this.#current?.store
  }

  get ortVersion(): string {
    return this.#terms['onnxruntime-node'] ?? ''
  }

  find(sourceId: string): Promise<Manifest | undefined> | Manifest | undefined {
    // The owner answers at once: between its answer and the caller's hold, nothing can evict.
    const { store } = this
    return store === undefined ? this.#ask(async (room) => await room.find(sourceId)) : store.find(sourceId)
  }

  compile(source: ArtifactSource, signal?: AbortSignal): Promise<Compiled> {
    return this.#ask((room) => room.compile(source, signal))
  }

  recheck(source: ArtifactSource, request: ClientRequest): Promise<Manifest> {
    return this.#ask((room) => room.recheck(source, request))
  }

  probe(artifact: string, source: ProbeSource): Promise<Manifest> {
    return this.#ask((room) => room.probe(artifact, source))
  }

  inspect(source: Pick<ArtifactSource, 'tenant' | 'dir' | 'modelFile'>): Promise<Signature> {
    return this.#ask((room) => room.inspect(source))
  }

  checkFiles(manifest: Manifest): Promise<boolean> {
    return this.#ask((room) => room.checkFiles(manifest))
  }

  pageIn(manifest: Manifest, signal?: AbortSignal): Promise<PagedIn> {
    return this.#ask((room) => room.pageIn(manifest, signal))
  }

  verify(artifact: string): Promise<readonly string[]> {
    return this.#ask((room) => room.verify(artifact))
  }

  fileOf(manifest: Manifest): string {
    return resolve(this.#dir, manifest.file)
  }

  hold(artifact: string): () => void {
    const held: Held = { artifact, release: this.#current?.room.hold(artifact) ?? (() => {}) }
    this.#held.add(held)
    return () => {
      if (this.#held.delete(held)) held.release()
    }
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    this.#closing.abort(closed())
    await (await this.#membership.catch(() => undefined))?.leave()
    this.#current = undefined
  }

  async #ask<T>(question: (room: ArtifactRoom) => Promise<T>): Promise<T> {
    for (;;) {
      const membership = await this.#membership
      try {
        return await question(membership.room)
      } catch (error) {
        if (!(error instanceof OwnerGoneError)) throw error
        if (this.#closing.signal.aborted) throw closed()
        this.#lose(membership)
      }
    }
  }

  /** The owner is gone or going: finds the next, which may be this process. Once for each owner. */
  #lose(membership: Membership): void {
    if (this.#current !== membership || this.#closing.signal.aborted) return
    this.#current = undefined
    this.#options.onEvent?.('cache.owner-lost', {})
    detach(membership.leave())
    detach(this.#reenter())
  }

  /** Tries until it succeeds. Whoever asks while there is no owner to be had waits for a try, and is told why that failed. */
  async #reenter(): Promise<void> {
    for (let tries = 0; !this.#closing.signal.aborted; tries++) {
      const attempt = this.#enter()
      this.#membership = attempt.catch((error: unknown) => {
        throw this.#closing.signal.aborted ? closed() : unavailable(error)
      })
      try {
        await this.#membership
        return
      } catch (error) {
        if (this.#closing.signal.aborted) return
        if (tries === 0) this.#options.onEvent?.('cache.unavailable', { error: String(error) })
        await this.#pause(tries).catch(() => {})
      }
    }
  }

  /** @throws FolderInUseError, FolderReadOnlyError, and what opening the folder fails with */
  async #enter(): Promise<Membership> {
    for (let tries = 0; ; tries++) {
      this.#closing.signal.throwIfAborted()
      const lock = await this.#takeLock()
      const membership =
        lock === undefined
          ? await this.#join()
          : lock instanceof FolderLock
            ? await this.#own(lock)
            : ((await this.#join()) ?? (await this.#read(lock)))
      if (membership !== undefined) {
        this.#install(membership)
        return membership
      }
      await this.#pause(tries)
    }
  }

  /** Undefined when somebody else has it. */
  async #takeLock(): Promise<FolderLock | FolderReadOnlyError | undefined> {
    try {
      return await FolderLock.take(this.#dir)
    } catch (error) {
      if (error instanceof FolderReadOnlyError) return error
      throw error
    }
  }

  /** A folder that is mounted read-only here may have an owner elsewhere that can write; this is for one that has none. */
  async #read(readOnly: FolderReadOnlyError): Promise<Membership> {
    const store = await ArtifactStore.open({ ...this.#options, isReadOnly: true })
    if (!this.#wasMember && store.diskUsage().artifacts === 0) {
      await store.close()
      throw readOnly
    }
    return { role: 'reader', room: store, store, leave: () => store.close() }
  }

  async #own(lock: FolderLock): Promise<Membership> {
    const options = this.#options
    try {
      await options.onOwned?.()
      const store = await ArtifactStore.open({
        ...options,
        evictAfterMs: this.#wasMember ? EVICT_AFTER_MS : 0,
        onCorrupt: (paths) => {
          options.onCorrupt?.(paths)
          host.tellCorrupt(paths)
        },
      })
      const host: ArtifactHost = new ArtifactHost({
        store,
        terms: this.#terms,
        clock: options.clock,
        onEvent: (name, fields) => options.onEvent?.(name, fields),
      })
      lock.onGuest((socket) => host.accept(socket))
      return {
        role: 'owner',
        room: store,
        store,
        async leave() {
          host.close()
          await store.close()
          await options.onDisowned?.()
          await lock.release()
        },
      }
    } catch (error) {
      await lock.release()
      throw error
    }
  }

  async #join(): Promise<Membership | undefined> {
    const guest = await ArtifactGuest.join({
      dir: this.#dir,
      terms: this.#terms,
      signal: this.#closing.signal,
      onCorrupt: (paths) => this.#options.onCorrupt?.(paths),
    })
    if (guest === undefined) return undefined
    const membership: Membership = { role: 'guest', room: guest, leave: () => guest.close() }
    detach(guest.gone.then(() => this.#lose(membership)))
    return membership
  }

  #install(membership: Membership): void {
    this.#current = membership
    this.#wasMember = true
    for (const held of this.#held) held.release = membership.room.hold(held.artifact)
    this.#options.onEvent?.('cache.joined', { role: membership.role, held: this.#held.size })
  }

  /** Grows with the tries, and is drawn at random so that guests do not move in step. */
  #pause(tries: number): Promise<void> {
    const ms = Math.min(RETRY_MS.max, RETRY_MS.min * 2 ** Math.min(tries, 10))
    return pause(this.#options.clock, ms * (0.5 + this.#options.random()), this.#closing.signal)
  }
}

function closed(): GatewayError {
  return new GatewayError('DRAINING', 'the cache folder is being left')
}

function unavailable(cause: unknown): GatewayError {
  const why = cause instanceof Error ? cause.message : String(cause)
  return new GatewayError(
    'STORE_UNAVAILABLE',
    `the process that owned the cache folder went away, and this one cannot go on: ${why}`,
    { retryAfterMs: RETRY_AFTER_MS },
    { cause },
  )
}
