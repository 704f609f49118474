/**
 * Compresses answers for clients that ask for it, on Node's thread pool. An offer, never a promise: what is small, or comes while enough
 * is being compressed, goes as it is, so that compression never makes anybody wait for a turn.
 */
import { promisify } from 'node:util'
import { constants, deflate, gzip } from 'node:zlib'
import type { Coding } from './accept-encoding.ts'
import { chooseCoding } from './accept-encoding.ts'

const COMPRESS = { gzip: promisify(gzip), deflate: promisify(deflate) } as const

/** Each takes a thread of Node's pool, which the file system needs as well. */
const AT_ONCE = 2
/** The fastest: a higher one takes two to three times as long for a tenth of the bytes. */
const LEVEL = constants.Z_BEST_SPEED

export interface Compressed {
  readonly coding: Coding
  readonly body: Buffer
}

export class Compressor {
  readonly #minBytes: number
  #running = 0

  /** `minBytes`: of the smallest answer worth it; 0 = none is. */
  constructor(minBytes: number) {
    this.#minBytes = minBytes === 0 ? Number.POSITIVE_INFINITY : minBytes
  }

  /** May answers of this size differ with what the client accepts? They are to say so. */
  varies(bytes: number): boolean {
    return bytes >= this.#minBytes
  }

  /** Undefined where the body is to go as it is; the body is not changed either way. */
  async compress(body: Buffer, acceptEncoding: string | undefined): Promise<Compressed | undefined> {
    if (this.#running >= AT_ONCE) return undefined
    const coding = chooseCoding(acceptEncoding)
    if (coding === undefined) return undefined
    this.#running++
    try {
      const compressed = await COMPRESS[coding](body, { level: LEVEL })
      // Random weights come out longer than they went in.
      return compressed.length < body.length ? { coding, body: compressed } : undefined
    } finally {
      this.#running--
    }
  }
}
