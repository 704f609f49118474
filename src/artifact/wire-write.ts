/** Pieces of a protobuf message: bytes made here, or ranges of a window that are copied as they are. */

export interface SourceRange {
  readonly start: number
  readonly end: number
}

export type Piece = Uint8Array | SourceRange

/** Pieces in order; ranges that touch become one, so that an unchanged stretch of any size is one piece. */
export class PieceList {
  readonly pieces: Piece[] = []
  bytes = 0

  add(bytes: Uint8Array): void {
    this.pieces.push(bytes)
    this.bytes += bytes.length
  }

  addRange(start: number, end: number): void {
    if (end <= start) return
    const last = this.pieces.at(-1)
    if (last !== undefined && !(last instanceof Uint8Array) && last.end === start) {
      this.pieces[this.pieces.length - 1] = { start: last.start, end }
    } else this.pieces.push({ start, end })
    this.bytes += end - start
  }

  /** Adds a length-delimited field around the pieces of another list. */
  addMessage(field: number, message: PieceList): void {
    this.add(Buffer.concat([varint(field * 8 + 2), varint(message.bytes)]))
    for (const piece of message.pieces) {
      if (piece instanceof Uint8Array) this.add(piece)
      else this.addRange(piece.start, piece.end)
    }
  }
}

export function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) + 0x80)
    rest = Math.floor(rest / 0x80)
  }
  bytes.push(rest)
  return Buffer.from(bytes)
}

export function varintField(field: number, value: number): Buffer {
  return Buffer.concat([varint(field * 8), varint(value)])
}

export function bytesField(field: number, bytes: Uint8Array): Buffer {
  return Buffer.concat([varint(field * 8 + 2), varint(bytes.length), bytes])
}

export function textField(field: number, text: string): Buffer {
  return bytesField(field, Buffer.from(text))
}
