/**
 * Calls from a parent to its child over frames: a call has a kind, a payload and one reply. Replies may come in any order;
 * the child's death rejects every call under way. A child answers errors of ours by code, so that they cross the process whole.
 */
import type { Duplex } from 'node:stream'
import { asGatewayError, ERRORS, type ErrorCode, type ErrorFacts, GatewayError } from '../domain/errors.ts'
import { FrameSocket } from './frames.ts'

/** Kinds of 0xf0 and above are the reply side; below, each child defines its own. */
const REPLY = 0xf0
const REPLY_ERROR = 0xf1
const EVENT = 0xf2

/** The child went away before it answered. */
export class ChildGoneError extends Error {
  override readonly name = 'ChildGoneError'
}

interface Pending {
  resolve(payload: Buffer): void
  reject(error: unknown): void
}

/** The parent's end. */
export class ChildCalls {
  readonly #frames: FrameSocket
  readonly #pending = new Map<number, Pending>()
  #nextId = 1
  #closedBy: Error | undefined
  #onDrained: (() => void)[] = []

  /** `onEvent` receives what the child says unasked. */
  constructor(socket: Duplex, onEvent: (payload: Buffer) => void = () => {}) {
    this.#frames = new FrameSocket(socket, {
      onFrame: (kind, id, payload) => {
        if (kind === EVENT) return onEvent(payload)
        const call = this.#pending.get(id)
        if (call === undefined) return
        this.#pending.delete(id)
        if (kind === REPLY) call.resolve(payload)
        else call.reject(decodeError(payload))
        if (this.#pending.size === 0) this.#drained()
      },
      onClose: (error) => {
        this.#closedBy = new ChildGoneError('the child process went away', { cause: error })
        for (const call of this.#pending.values()) call.reject(this.#closedBy)
        this.#pending.clear()
        this.#drained()
      },
    })
  }

  /** @throws ChildGoneError if the child dies first, or the GatewayError that the child answered */
  call(kind: number, payload: readonly Uint8Array[]): Promise<Buffer> {
    if (this.#closedBy !== undefined) return Promise.reject(this.#closedBy)
    const id = this.#nextId
    this.#nextId = (id % 0xffffffff) + 1
    return new Promise((resolve, reject) => {
      // Throws what is too large for a frame, before anything waits for its answer.
      this.#frames.send(kind, id, payload)
      this.#pending.set(id, { resolve, reject })
    })
  }

  /** The child can be told nothing any more. */
  get isClosed(): boolean {
    return this.#closedBy !== undefined
  }

  /** Calls without an answer yet. */
  get pending(): number {
    return this.#pending.size
  }

  /** Resolves when no call waits for its answer, because all were answered or the child is gone. */
  drained(): Promise<void> {
    if (this.#pending.size === 0) return Promise.resolve()
    return new Promise((resolve) => this.#onDrained.push(resolve))
  }

  #drained(): void {
    const waiters = this.#onDrained
    if (waiters.length === 0) return
    this.#onDrained = []
    for (const resolve of waiters) resolve()
  }

  /** Lets the child finish what it was sent, then closes; the child takes a closed socket as the order to end. */
  end(): void {
    this.#frames.end()
  }
}

/** Handles one call and returns the parts of the reply's payload. May throw; a GatewayError crosses whole. */
export type CallHandler = (kind: number, payload: Buffer) => Promise<readonly Uint8Array[]> | readonly Uint8Array[]

/** The child's end: answers calls with `handle`, in the order it finishes them. `onEnd`: the parent closed or died. */
export function serveCalls(
  socket: Duplex,
  handle: CallHandler,
  onEnd: () => void,
): { readonly say: (payload: Uint8Array) => void } {
  const frames = new FrameSocket(socket, {
    onFrame: (kind, id, payload) => {
      try {
        const reply = handle(kind, payload)
        if (!(reply instanceof Promise)) return frames.send(REPLY, id, reply)
        // `catch` last: an answer too large for a frame is an error to report too.
        reply
          .then((parts) => frames.send(REPLY, id, parts))
          .catch((error: unknown) => frames.send(REPLY_ERROR, id, [encodeError(error)]))
      } catch (error) {
        frames.send(REPLY_ERROR, id, [encodeError(error)])
      }
    },
    onClose: onEnd,
  })
  return { say: (payload) => frames.send(EVENT, 0, [payload]) }
}

/** An error as it crosses between processes: code, message, facts, and the cause as text. */
export function encodeError(thrown: unknown): Buffer {
  const { code, message, facts } = asGatewayError(thrown)
  const cause = thrown instanceof GatewayError ? thrown.cause : thrown
  return Buffer.from(
    JSON.stringify({
      code,
      message,
      facts,
      cause: cause instanceof Error ? (cause.stack ?? cause.message) : undefined,
    }),
  )
}

export function decodeError(payload: Buffer): GatewayError {
  const { code, message, facts, cause } = JSON.parse(payload.toString()) as {
    code: ErrorCode
    message: string
    facts: ErrorFacts
    cause?: string
  }
  return new GatewayError(
    code in ERRORS ? code : 'INTERNAL',
    message,
    facts,
    cause === undefined ? {} : { cause: new Error(cause) },
  )
}
