/**
 * Moves a graph's big tensors out into blobs, wherever they are: the graph, bodies of If, Loop and Scan, functions, attributes. Works
 * on the wire form: what is not a moved tensor, unknown fields included, is copied byte for byte, and nothing of the file's size is
 * held in memory. ONNX Runtime's own save with external data breaks graphs that have bodies, hence this one.
 */

import { createHash } from 'node:crypto'
import { closeSync, openSync } from 'node:fs'
import { writeAll } from './blob-store.ts'
import type { ExternalWindows } from './external-windows.ts'
import { blobPath } from './layout.ts'
import { ATTRIBUTE, DATA_LOCATION_EXTERNAL, ENTRY, FUNCTION, GRAPH, MODEL, NODE, TENSOR } from './onnx-fields.ts'
import { RangeReader } from './range-reader.ts'
import type { TensorSink } from './tensor-sink.ts'
import { rawFromTyped } from './typed-data.ts'
import type { TensorHeader } from './walk-tensor.ts'
import { readTensor } from './walk-tensor.ts'
import type { ByteWindow } from './wire.ts'
import { FieldCursor, WIRE } from './wire.ts'
import { bytesField, PieceList, textField, varintField } from './wire-write.ts'

export interface MovePlan {
  readonly blobs: TensorSink
  /** Tensors of fewer bytes stay in the graph: a mapping of its own costs more than it shares. */
  readonly minBytes: number
  /** Data files that the graph refers to, by location. */
  readonly external: Pick<ExternalWindows, 'get'>
}

/** Which of a message's fields hold messages to look into. */
type Rewriter = (rewrite: GraphRewrite, start: number, end: number) => PieceList | undefined
type Children = Readonly<Record<number, Rewriter>>

const tensor: Rewriter = (rewrite, start, end) => rewrite.tensor(start, end)
const message =
  (children: () => Children): Rewriter =>
  (rewrite, start, end) =>
    rewrite.message(start, end, children())

const ATTRIBUTE_CHILDREN: Children = {
  [ATTRIBUTE.tensor]: tensor,
  [ATTRIBUTE.tensors]: tensor,
  [ATTRIBUTE.graph]: message(() => GRAPH_CHILDREN),
  [ATTRIBUTE.graphs]: message(() => GRAPH_CHILDREN),
}
const NODE_CHILDREN: Children = { [NODE.attribute]: message(() => ATTRIBUTE_CHILDREN) }
const GRAPH_CHILDREN: Children = { [GRAPH.node]: message(() => NODE_CHILDREN), [GRAPH.initializer]: tensor }
const FUNCTION_CHILDREN: Children = {
  [FUNCTION.node]: message(() => NODE_CHILDREN),
  [FUNCTION.attribute]: message(() => ATTRIBUTE_CHILDREN),
}
const MODEL_CHILDREN: Children = {
  [MODEL.graph]: message(() => GRAPH_CHILDREN),
  [MODEL.functions]: message(() => FUNCTION_CHILDREN),
}

/** Fields of a TensorProto that say where its values are, and the values; a moved tensor keeps all others. */
const VALUE_FIELDS: ReadonlySet<number> = new Set([
  TENSOR.floatData,
  TENSOR.int32Data,
  TENSOR.int64Data,
  TENSOR.doubleData,
  TENSOR.uint64Data,
  TENSOR.rawData,
  TENSOR.externalData,
  TENSOR.dataLocation,
])

/** Writes the model in `window` to `path` with its big tensors moved out. @throws WireError, GatewayError ARTIFACT_INVALID */
export function writeMoved(
  window: ByteWindow,
  path: string,
  plan: MovePlan,
): { readonly digest: string; readonly bytes: number } {
  const rewrite = new GraphRewrite(window, plan)
  const unchanged = new PieceList()
  unchanged.addRange(0, window.size)
  const pieces = rewrite.message(0, window.size, MODEL_CHILDREN) ?? unchanged
  const digest = createHash('sha256')
  const fd = openSync(path, 'wx')
  const write = (bytes: Uint8Array) => {
    digest.update(bytes)
    writeAll(fd, bytes)
  }
  try {
    // Small pieces leave together: a graph of a thousand moved tensors is two thousand pieces.
    let pending: Uint8Array[] = []
    let pendingBytes = 0
    const flush = () => {
      if (pending.length > 0) write(Buffer.concat(pending))
      pending = []
      pendingBytes = 0
    }
    for (const piece of pieces.pieces) {
      if (!(piece instanceof Uint8Array) && piece.end - piece.start > GATHER_BYTES) {
        flush()
        for (const chunk of new RangeReader(window, piece.start, piece.end)) write(chunk)
        continue
      }
      const bytes = piece instanceof Uint8Array ? piece : window.slice(piece.start, piece.end)
      pending.push(bytes)
      pendingBytes += bytes.length
      if (pendingBytes > GATHER_BYTES) flush()
    }
    flush()
  } finally {
    closeSync(fd)
  }
  return { digest: digest.digest('hex'), bytes: pieces.bytes }
}

const MAX_LIST = 1024
const GATHER_BYTES = 256 * 1024

class GraphRewrite {
  readonly #window: ByteWindow
  readonly #plan: MovePlan

  constructor(window: ByteWindow, plan: MovePlan) {
    this.#window = window
    this.#plan = plan
  }

  /** The rewritten message, or undefined when nothing in it changed. */
  message(start: number, end: number, children: Children): PieceList | undefined {
    let pieces: PieceList | undefined
    let copied = start
    const field = new FieldCursor(this.#window, start, end)
    while (field.next()) {
      const rewriter = children[field.number]
      if (rewriter === undefined || field.wire !== WIRE.bytes) continue
      const replaced = rewriter(this, field.payload, field.end)
      if (replaced === undefined) continue
      pieces ??= new PieceList()
      pieces.addRange(copied, field.start)
      pieces.addMessage(field.number, replaced)
      copied = field.end
    }
    pieces?.addRange(copied, end)
    return pieces
  }

  tensor(start: number, end: number): PieceList | undefined {
    const header = readTensor(this.#window, start, end)
    const isBig = header.bytes !== undefined && header.bytes >= Math.max(this.#plan.minBytes, 1) && !isList(header)
    if (!isBig && header.external === undefined) return undefined
    const values = isBig ? this.#moved(start, end, header) : this.#inlined(header)
    if (values === undefined) return undefined
    const pieces = new PieceList()
    const field = new FieldCursor(this.#window, start, end)
    while (field.next()) if (!VALUE_FIELDS.has(field.number)) pieces.addRange(field.start, field.end)
    for (const bytes of values) pieces.add(bytes)
    return pieces
  }

  /** The fields that point a tensor at its blob; undefined when its values cannot be moved. */
  #moved(start: number, end: number, header: TensorHeader): Uint8Array[] | undefined {
    const blob = this.#blob(start, end, header)
    if (blob === undefined) return undefined
    return [
      externalEntry('location', blobPath(blob.digest)),
      externalEntry('offset', '0'),
      externalEntry('length', String(blob.bytes)),
      varintField(TENSOR.dataLocation, DATA_LOCATION_EXTERNAL),
    ]
  }

  #blob(start: number, end: number, header: TensorHeader) {
    const { blobs } = this.#plan
    if (header.external !== undefined) {
      const { window, from, to } = this.#external(header)
      return blobs.putRange(window, from, to)
    }
    if (header.raw !== undefined) return blobs.putRange(this.#window, header.raw.start, header.raw.end)
    const raw = rawFromTyped(this.#window, start, end, header)
    return raw === undefined ? undefined : blobs.putBytes(raw)
  }

  /** A small tensor that was external comes back into the graph. */
  #inlined(header: TensorHeader): Uint8Array[] {
    const { window, from, to } = this.#external(header)
    return [bytesField(TENSOR.rawData, window.slice(from, to))]
  }

  #external({ name, external, bytes }: TensorHeader): { window: ByteWindow; from: number; to: number } {
    const window = external === undefined ? undefined : this.#plan.external.get(external.location)
    if (window === undefined || external === undefined)
      throw new Error(`tensor '${name}' refers to a data file that is neither the save's nor the source's`)
    return { window, from: external.offset, to: external.offset + (external.length ?? bytes ?? 0) }
  }
}

/** Axes, shapes, scales: shape inference reads them when a graph is opened, and only from the graph itself. */
function isList({ dims, count }: TensorHeader): boolean {
  return dims.length <= 1 && count <= MAX_LIST
}

function externalEntry(key: string, value: string): Buffer {
  return bytesField(TENSOR.externalData, Buffer.concat([textField(ENTRY.key, key), textField(ENTRY.value, value)]))
}
