/**
 * An answer's text while it grows, within a limit: what would be longer is refused before it is whole. A model may make gigabytes of a
 * request of a hundred bytes, and everybody's answers share the memory that they are written in.
 */
import { GatewayError } from '../../domain/errors.ts'
import type { Datatype, TensorData } from '../../domain/tensor-types.ts'
import { formatByteSize } from '../../lib/byte-size.ts'
import { elementsToJson } from './number-text.ts'

/** Elements written at once: a text that grows by one number at a time holds 60 bytes for each until it is read. */
const PIECE_ELEMENTS = 16 * 1024

/** Shortest element with its comma. */
const MIN_ELEMENT_BYTES = 2

export class AnswerLimit {
  readonly #maxBytes: number
  #bytes = 0

  /** `maxBytes`: of JSON and binary parts together. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** @throws GatewayError BAD_INPUT_VALUE once all that was counted is over the limit */
  count(bytes: number): void {
    this.#bytes += bytes
    this.#check(this.#bytes)
  }

  /** @throws GatewayError BAD_INPUT_VALUE when so many more would be over the limit, which then costs nobody the making of them */
  expect(bytes: number): void {
    this.#check(this.#bytes + bytes)
  }

  /** The elements between the brackets of a JSON list, counted. @throws GatewayError BAD_INPUT_VALUE as `count` does */
  elements(datatype: Datatype, data: TensorData): string {
    this.expect(MIN_ELEMENT_BYTES * data.length)
    if (data.length <= PIECE_ELEMENTS) return this.#piece(datatype, data)
    const pieces: string[] = []
    for (let at = 0; at < data.length; at += PIECE_ELEMENTS)
      pieces.push(this.#piece(datatype, piece(data, at, at + PIECE_ELEMENTS)))
    return pieces.join(',')
  }

  #piece(datatype: Datatype, data: TensorData): string {
    const text = elementsToJson(datatype, data)
    this.count(text.length)
    return text
  }

  #check(bytes: number): void {
    if (bytes <= this.#maxBytes) return
    throw new GatewayError(
      'BAD_INPUT_VALUE',
      `the answer to this request would be larger than ${formatByteSize(this.#maxBytes)}, the limit of this server; ask for fewer rows or outputs, in binary, or raise server.maxAnswerBytes`,
      { details: { limitBytes: this.#maxBytes } },
    )
  }
}

function piece(data: TensorData, from: number, to: number): TensorData {
  return Array.isArray(data) ? (data as readonly string[]).slice(from, to) : (data as Uint8Array).subarray(from, to)
}
