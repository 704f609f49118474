/**
 * The owner's side of a shared cache folder: does for guests, over their connections, what the store does for the owner itself, and
 * keeps what they use from being evicted for as long as their connection stands.
 */
import type { Socket } from 'node:net'
import { serveCalls } from '../child/calls.ts'
import type { Manifest } from '../domain/artifact.ts'
import { GatewayError } from '../domain/errors.ts'
import type { Clock } from '../lib/clock.ts'
import { gone } from './artifact-maker.ts'
import type { ArtifactStore } from './artifact-store.ts'
import type { FolderTerms } from './folder-terms.ts'
import { differenceOf } from './folder-terms.ts'
import type {
  ArtifactCall,
  CompileCallOfGuest,
  FindCall,
  HelloCall,
  HelloReply,
  InspectCall,
  OwnerEvent,
  ProbeCallOfGuest,
  RecheckCall,
  RemoteSource,
  UnchangedCall,
} from './owner-protocol.ts'
import { OWNER_CALLS } from './owner-protocol.ts'
import type { ArtifactSource } from './source.ts'

export interface HostOptions {
  readonly store: ArtifactStore
  readonly terms: FolderTerms
  readonly clock: Clock
  onEvent(name: string, fields: Readonly<Record<string, string | number | boolean>>): void
}

/** An artifact that a guest was just told of is kept for so long without its asking: the guest's own hold is on its way. */
const TOLD_MS = 10_000
/** A guest answers within milliseconds, unless its process is stopped; a compile under way, and all removals behind it, wait for that. */
const ANSWER_MS = 10_000

export class ArtifactHost {
  readonly #options: HostOptions
  readonly #guests = new Set<Guest>()
  #isClosed = false

  constructor(options: HostOptions) {
    this.#options = options
  }

  get guests(): number {
    return this.#guests.size
  }

  accept(socket: Socket): void {
    const guest = new Guest(socket, this.#options, {
      isClosed: () => this.#isClosed,
      onWelcome: () => {
        this.#guests.add(guest)
        this.#options.onEvent('cache.guest-came', { guests: this.#guests.size })
      },
      onGone: () => {
        if (this.#guests.delete(guest)) this.#options.onEvent('cache.guest-left', { guests: this.#guests.size })
      },
    })
  }

  /** Sessions that guests have open may have mapped these. */
  tellCorrupt(paths: readonly string[]): void {
    for (const guest of this.#guests) guest.tell({ corrupt: paths })
  }

  /** From now on guests are told that the owner is leaving. */
  close(): void {
    this.#isClosed = true
  }
}

interface GuestHooks {
  isClosed(): boolean
  onWelcome(): void
  onGone(): void
}

/** One connection. */
class Guest {
  readonly #options: HostOptions
  readonly #hooks: GuestHooks
  readonly #say: (payload: Uint8Array) => void
  /** By artifact, one for each hold of the guest's. */
  readonly #holds = new Map<string, (() => void)[]>()
  readonly #questions = new Map<number, (isUnchanged: boolean) => void>()
  #lastQuestion = 0
  #isWelcome = false
  #isGone = false

  constructor(socket: Socket, options: HostOptions, hooks: GuestHooks) {
    this.#options = options
    this.#hooks = hooks
    const { say } = serveCalls(
      socket,
      async (kind, payload) => [Buffer.from(JSON.stringify((await this.#handle(kind, payload)) ?? null))],
      () => this.#leave(),
    )
    this.#say = say
  }

  tell(event: OwnerEvent): void {
    this.#say(Buffer.from(JSON.stringify(event)))
  }

  async #handle(kind: number, payload: Buffer): Promise<unknown> {
    const call: unknown = JSON.parse(payload.toString())
    if (this.#hooks.isClosed()) throw new GatewayError('DRAINING', 'the owner of the cache folder is going away')
    if (kind === OWNER_CALLS.hello) return this.#greet(call as HelloCall)
    if (!this.#isWelcome) throw new GatewayError('INTERNAL', 'a guest of the cache folder asked before it was welcome')
    return await this.#answer(kind, call)
  }

  async #answer(kind: number, call: unknown): Promise<unknown> {
    const { store } = this.#options
    switch (kind) {
      case OWNER_CALLS.find:
        return this.#told(store.find((call as FindCall).sourceId))
      case OWNER_CALLS.compile: {
        const compiled = await store.compile(this.#sourceOf((call as CompileCallOfGuest).source))
        this.#told(compiled.manifest)
        return compiled
      }
      case OWNER_CALLS.recheck: {
        const { source, body, jsonBytes } = call as RecheckCall
        const request = { body: Buffer.from(body, 'base64'), ...(jsonBytes === undefined ? {} : { jsonBytes }) }
        return this.#told(await store.recheck(this.#sourceOf(source), request))
      }
      case OWNER_CALLS.probe: {
        const { artifact, ...source } = call as ProbeCallOfGuest
        return this.#told(await store.probe(artifact, source))
      }
      case OWNER_CALLS.inspect:
        return await store.inspect(call as InspectCall)
      case OWNER_CALLS.checkFiles: {
        const manifest = store.get((call as ArtifactCall).artifact)
        return manifest !== undefined && (await store.checkFiles(manifest))
      }
      case OWNER_CALLS.pageIn: {
        const manifest = store.get((call as ArtifactCall).artifact)
        if (manifest === undefined) throw gone()
        return await store.pageIn(manifest)
      }
      case OWNER_CALLS.verify:
        return await store.verify((call as ArtifactCall).artifact)
      case OWNER_CALLS.hold:
        return this.#hold((call as ArtifactCall).artifact)
      case OWNER_CALLS.letGo:
        return this.#letGo((call as ArtifactCall).artifact)
      case OWNER_CALLS.unchanged: {
        const { question, isUnchanged } = call as UnchangedCall
        this.#questions.get(question)?.(isUnchanged)
        return null
      }
      default:
        throw new GatewayError('INTERNAL', `a guest of the cache folder asked a thing of unknown kind ${kind}`)
    }
  }

  #greet({ terms }: HelloCall): HelloReply {
    const refusal = differenceOf(this.#options.terms, terms)
    if (refusal !== undefined) return { refusal }
    this.#isWelcome = true
    this.#hooks.onWelcome()
    return {}
  }

  #told(manifest: Manifest | undefined): Manifest | undefined {
    if (manifest === undefined || this.#isGone) return manifest
    const release = this.#options.store.hold(manifest.artifact)
    this.#options.clock.after(TOLD_MS, release)
    return manifest
  }

  #hold(artifact: string): void {
    if (this.#isGone) return
    const holds = this.#holds.get(artifact) ?? []
    holds.push(this.#options.store.hold(artifact))
    this.#holds.set(artifact, holds)
  }

  #letGo(artifact: string): void {
    const holds = this.#holds.get(artifact)
    holds?.pop()?.()
    if (holds?.length === 0) this.#holds.delete(artifact)
  }

  #sourceOf({ ask, ...source }: RemoteSource): ArtifactSource {
    return { ...source, isUnchanged: () => this.#askUnchanged(ask) }
  }

  /** Only the guest knows what it staged. One that is gone or stands still cannot tell, so its source is not believed. */
  #askUnchanged(ask: number): Promise<boolean> {
    if (this.#isGone) return Promise.resolve(false)
    const question = ++this.#lastQuestion
    return new Promise((resolve) => {
      const answer = (isUnchanged: boolean): void => {
        silence.cancel()
        this.#questions.delete(question)
        resolve(isUnchanged)
      }
      const silence = this.#options.clock.after(ANSWER_MS, () => answer(false))
      this.#questions.set(question, answer)
      this.tell({ ask, question })
    })
  }

  #leave(): void {
    this.#isGone = true
    for (const answer of this.#questions.values()) answer(false)
    for (const release of [...this.#holds.values()].flat()) release()
    this.#holds.clear()
    this.#hooks.onGone()
  }
}
