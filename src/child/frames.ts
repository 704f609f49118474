/**
 * Length-prefixed frames over a duplex socket between a parent and its child.
 *
 *   | uint32 LE: bytes after this field | uint8 kind | uint32 LE id | payload ... |
 *
 * One side never waits for the other's frame boundary: a frame may span many reads, and one read may hold many frames.
 * Payload buffers handed to `onFrame` may be views of a larger read buffer: copy what outlives the call for long.
 */
import type { Duplex } from 'node:stream'

const PREFIX_BYTES = 4
const HEAD_BYTES = 9
const MAX_FRAME_BYTES = 2 ** 31 - 1

export interface FrameHandlers {
  onFrame(kind: number, id: number, payload: Buffer): void
  /** The other side is gone, or broke the framing. Called once. */
  onClose(error: Error | undefined): void
}

export class FrameSocket {
  readonly #socket: Duplex
  readonly #handlers: FrameHandlers
  #chunks: Buffer[] = []
  #buffered = 0
  #isClosed = false
  #isCorked = false

  constructor(socket: Duplex, handlers: FrameHandlers) {
    this.#socket = socket
    this.#handlers = handlers
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.on('error', (error) => this.#close(error))
    socket.on('close', () => this.#close(undefined))
    socket.on('end', () => this.#close(undefined))
  }

  /** Queues a frame; frames of one turn of the event loop leave in one write. Sending to a closed socket does nothing. */
  send(kind: number, id: number, payload: readonly Uint8Array[]): void {
    if (this.#isClosed) return
    let bytes = HEAD_BYTES - PREFIX_BYTES
    for (const part of payload) bytes += part.length
    if (bytes + PREFIX_BYTES > MAX_FRAME_BYTES)
      throw new RangeError(`a frame of ${bytes} bytes is over the limit of ${MAX_FRAME_BYTES}`)
    const head = Buffer.allocUnsafe(HEAD_BYTES)
    head.writeUInt32LE(bytes, 0)
    head.writeUInt8(kind, 4)
    head.writeUInt32LE(id, 5)
    this.#cork()
    this.#socket.write(head)
    for (const part of payload) if (part.length > 0) this.#socket.write(part)
  }

  /** Bytes that the other side has not taken yet. */
  get pendingBytes(): number {
    return this.#socket.writableLength
  }

  /** Sends what is queued, then closes; idempotent. */
  end(): void {
    if (!this.#isClosed) this.#socket.end()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  #cork(): void {
    if (this.#isCorked) return
    this.#isCorked = true
    this.#socket.cork()
    process.nextTick(() => {
      this.#isCorked = false
      this.#socket.uncork()
    })
  }

  #read(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#buffered += chunk.length
    if (this.#buffered < HEAD_BYTES) return
    const frameBytes = PREFIX_BYTES + this.#peekLength()
    if (frameBytes < HEAD_BYTES || frameBytes > MAX_FRAME_BYTES) {
      this.#socket.destroy(new Error(`broken framing: a frame of ${frameBytes} bytes`))
      return
    }
    // A long frame is joined once, when its last chunk is here.
    if (this.#buffered < frameBytes) return
    const [first] = this.#chunks
    const data = this.#chunks.length === 1 && first !== undefined ? first : Buffer.concat(this.#chunks, this.#buffered)
    const used = this.#deliver(data)
    this.#chunks = used === data.length ? [] : [data.subarray(used)]
    this.#buffered = data.length - used
  }

  #deliver(data: Buffer): number {
    let at = 0
    while (data.length - at >= HEAD_BYTES) {
      const end = at + PREFIX_BYTES + data.readUInt32LE(at)
      if (end > data.length) break
      this.#handlers.onFrame(data.readUInt8(at + 4), data.readUInt32LE(at + 5), data.subarray(at + HEAD_BYTES, end))
      at = end
    }
    return at
  }

  #peekLength(): number {
    const [first] = this.#chunks
    if (first !== undefined && first.length >= PREFIX_BYTES) return first.readUInt32LE(0)
    const joined = Buffer.concat(this.#chunks, this.#buffered)
    this.#chunks = [joined]
    return joined.readUInt32LE(0)
  }

  #close(error: Error | undefined): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#chunks = []
    this.#handlers.onClose(error)
  }
}
