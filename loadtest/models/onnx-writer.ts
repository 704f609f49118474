/**
 * Writes models as ONNX files: whole in the graph file, or with big tensors in a sidecar file beside it.
 * Owns the bytes on disk and nothing about what a model means. With a sidecar, memory stays at one chunk of one tensor, whatever the
 * model's size; without one the model's pieces are held by reference, not copied.
 */
import { mkdir, open, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { encodeModel } from './onnx-encode.ts'
import type { OnnxModel, OnnxTensor } from './onnx-model.ts'
import { movableBytes } from './onnx-model.ts'
import { totalBytes } from './proto-parts.ts'

/** A protobuf message must stay below 2 GiB, the limit of its readers. */
const MESSAGE_LIMIT_BYTES = 2 ** 31 - 1

/** Tensors in a sidecar start on page boundaries, so that each can be mapped on its own. */
const SIDECAR_ALIGNMENT_BYTES = 4096

export interface ExternalOptions {
  /** Path of the sidecar relative to the model file's folder; its folders are made. Written into the graph as it is. */
  readonly file: string
  /** Initializers of at least this many bytes move out. */
  readonly minBytes: number
}

export interface WriteOptions {
  readonly external?: ExternalOptions
}

/** The model as one buffer, everything inline. Throws RangeError when it is too big for a protobuf message. */
export function modelBytes(model: OnnxModel): Uint8Array {
  return Buffer.concat(inlinePieces(model))
}

/**
 * Writes the model to `path` and gives the bytes written, sidecar included. The graph file appears by rename, after its sidecar:
 * who sees it sees it whole. Folders are made; an older file of the name is replaced. Throws RangeError as modelBytes does.
 */
export async function writeModel(path: string, model: OnnxModel, { external }: WriteOptions = {}): Promise<number> {
  await mkdir(dirname(path), { recursive: true })
  const sidecar = external === undefined ? undefined : new Sidecar(external)
  const pieces =
    sidecar === undefined
      ? inlinePieces(model)
      : limited(encodeModel(model, (tensor) => sidecar.place(tensor)).finish())
  const sidecarBytes = (await sidecar?.write(dirname(path))) ?? 0
  const partial = `${path}.partial`
  try {
    await writeFile(partial, pieces)
    await rename(partial, path)
  } catch (error) {
    await rm(partial, { force: true })
    throw error
  }
  return totalBytes(pieces) + sidecarBytes
}

function inlinePieces(model: OnnxModel): readonly Uint8Array[] {
  // Refused before streamed values are made: they would fill the memory that streaming is there to spare.
  assertMessageSize(model.graph.initializers.reduce((sum, tensor) => sum + movableBytes(tensor), 0))
  return limited(encodeModel(model).finish())
}

function limited(pieces: readonly Uint8Array[]): readonly Uint8Array[] {
  assertMessageSize(totalBytes(pieces))
  return pieces
}

function assertMessageSize(bytes: number): void {
  if (bytes <= MESSAGE_LIMIT_BYTES) return
  throw new RangeError(
    `the graph file would have at least ${bytes} bytes, over the ${MESSAGE_LIMIT_BYTES} of a protobuf message; use external data`,
  )
}

/** Gives tensors their places in one sidecar file while the graph is encoded, then writes them there. */
class Sidecar {
  readonly #options: ExternalOptions
  readonly #placed: { tensor: OnnxTensor; offset: number }[] = []
  #end = 0

  constructor(options: ExternalOptions) {
    this.#options = options
  }

  /** The tensor's `external_data` entries; undefined when it is too small to move. */
  place(tensor: OnnxTensor): Record<string, string> | undefined {
    const length = movableBytes(tensor)
    if (length < this.#options.minBytes) return undefined
    const offset = Math.ceil(this.#end / SIDECAR_ALIGNMENT_BYTES) * SIDECAR_ALIGNMENT_BYTES
    this.#end = offset + length
    this.#placed.push({ tensor, offset })
    return { location: this.#options.file, offset: `${offset}`, length: `${length}` }
  }

  /** Writes the placed tensors below `folder`, chunk by chunk, and gives the file's size. */
  async write(folder: string): Promise<number> {
    const path = join(folder, this.#options.file)
    await mkdir(dirname(path), { recursive: true })
    const file = await open(path, 'w')
    try {
      for (const { tensor, offset } of this.#placed) {
        let position = offset
        for (const chunk of chunksOf(tensor)) {
          await writeFully(file, chunk, position)
          position += chunk.byteLength
        }
      }
    } finally {
      await file.close()
    }
    return this.#end
  }
}

function chunksOf({ data }: OnnxTensor): Iterable<Uint8Array> {
  if (data.kind === 'raw') return [data.bytes]
  return data.kind === 'stream' ? data.chunks() : []
}

/** One write call moves at most 2 GiB on Linux and may move less than it was given. */
async function writeFully(file: Awaited<ReturnType<typeof open>>, bytes: Uint8Array, position: number): Promise<void> {
  let done = 0
  while (done < bytes.byteLength) {
    const { bytesWritten } = await file.write(bytes, done, bytes.byteLength - done, position + done)
    done += bytesWritten
  }
}
