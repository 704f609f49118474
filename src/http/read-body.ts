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

/** Bytes of bodies received but not yet handed on. */
export class ReceiveBudget {
  readonly #limit: number
  #used = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  get used(): number {
    return this.#used
  }

  /** False, and nothing taken, when the budget is spent. */
  take(bytes: number): boolean {
    if (this.#used + bytes > this.#limit) return false
    this.#used += bytes
    return true
  }

  give(bytes: number): void {
    this.#used -= bytes
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
      } else if (!budget.take(chunk.length)) {
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

function receivingTooMuch(): GatewayError {
  return new GatewayError('OVERLOADED', 'the server receives as many bytes as it may hold; come back in a moment', {
    retryAfterMs: 1000,
  })
}
