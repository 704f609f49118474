/**
 * A request's body as the chunks that arrived, counted while they arrive: nothing is copied, and nothing over the limits is
 * kept. All bodies that are being received together stay within one budget, however many connections there are.
 */
import type { IncomingMessage } from 'node:http'
import { GatewayError } from '../domain/errors.ts'
import { formatByteSize } from '../lib/byte-size.ts'

export interface Body {
  readonly chunks: Buffer[]
  readonly bytes: number
}

/** So much of a body counts as small: it is taken while there is room at all. */
const SMALL_BYTES = 64 * 1024
/** Part of the budget that only small bodies may fill. */
const SMALL_SHARE = 0.1

/**
 * Bytes of bodies received or expanded but not yet handed on. Few large bodies that hardly move must not shut out everyone else: past
 * its first bytes a body may hold no more than what is left for others, and a part of the budget is kept for small ones. A body that is
 * alone always fits; its own limit bounds it.
 */
export class ReceiveBudget {
  readonly #limit: number
  #used = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  get used(): number {
    return this.#used
  }

  /** `own` = bytes that the same body holds already. False, and nothing taken, when that would be more than its share. */
  take(bytes: number, own: number): boolean {
    if (!this.#isFair(bytes, own)) return false
    this.#used += bytes
    return true
  }

  /** Counts bytes that are here already, whatever the limit says. */
  hold(bytes: number): void {
    this.#used += bytes
  }

  give(bytes: number): void {
    this.#used -= bytes
  }

  #isFair(bytes: number, own: number): boolean {
    if (this.#used === own) return true
    const left = this.#limit - this.#used - bytes
    const share = own + bytes
    return share <= SMALL_BYTES ? left >= 0 : share <= left - this.#limit * SMALL_SHARE
  }
}

/**
 * Reads to the end. On failure the rest of the body stays unread.
 * @throws GatewayError BODY_TOO_LARGE, OVERLOADED when the budget is spent, CLIENT_GONE when the client left
 */
export function readBody(request: IncomingMessage, maxBytes: number, budget: ReceiveBudget): Promise<Body> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let bytes = 0
    const settle = (): void => {
      budget.give(bytes)
      request.off('data', onData).off('end', onEnd).off('close', onClose)
    }
    const fail = (error: GatewayError): void => {
      settle()
      request.pause()
      reject(error)
    }
    const onData = (chunk: Buffer): void => {
      if (bytes + chunk.length > maxBytes) {
        fail(bodyTooLarge(maxBytes))
      } else if (!budget.take(chunk.length, bytes)) {
        fail(receivingTooMuch())
      } else {
        bytes += chunk.length
        chunks.push(chunk)
      }
    }
    const onEnd = (): void => {
      settle()
      resolve({ chunks, bytes })
    }
    const onClose = (): void => {
      settle()
      reject(clientGone())
    }
    request.on('data', onData).on('end', onEnd).on('close', onClose)
  })
}

export function bodyTooLarge(maxBytes: number, what = 'the body'): GatewayError {
  return new GatewayError(
    'BODY_TOO_LARGE',
    `${what} is larger than ${formatByteSize(maxBytes)}, the limit of this server`,
    {
      details: { limitBytes: maxBytes },
    },
  )
}

export function clientGone(): GatewayError {
  return new GatewayError('CLIENT_GONE', 'the client left before the answer')
}

export function receivingTooMuch(): GatewayError {
  return new GatewayError('OVERLOADED', 'the server receives as many bytes as it may hold; come back in a moment', {
    retryAfterMs: 1000,
  })
}
