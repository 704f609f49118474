/**
 * Stacking requests along dimension 0 and splitting the outputs again. Pure. Whether a model may be stacked at all is decided
 * elsewhere; here it is only shapes: equal beyond dimension 0, and within a request one number of rows for all inputs.
 */
import type { Tensor, TensorData } from '../domain/tensor-types.ts'
import { DATATYPES } from '../domain/tensor-types.ts'
import { elementsView } from '../protocol/oip/raw-data.ts'

type Inputs = readonly Tensor[]

/** Requests, by their place in the hand-over, that go into one run together. */
export interface Run {
  readonly members: readonly number[]
  /** Rows of each member. */
  readonly rows: readonly number[]
  readonly totalRows: number
}

interface OpenRun {
  members: number[]
  rows: number[]
  totalRows: number
}

/**
 * Composes runs of at most `maxRows` rows, in the order of arrival; a request that is larger by itself, or cannot be stacked, runs alone.
 * `requests[i]` undefined: not to be run.
 */
export function planRuns(
  requests: readonly (Inputs | undefined)[],
  { isBatchSafe, maxRows }: { isBatchSafe: boolean; maxRows: number },
): Run[] {
  const runs: OpenRun[] = []
  /** For each shape seen, the run that still takes requests, and inputs of that shape. */
  const open: { run: OpenRun; like: Inputs }[] = []
  for (let i = 0; i < requests.length; i++) {
    const inputs = requests[i]
    if (inputs === undefined) continue
    const rows = isBatchSafe ? rowsOf(inputs) : undefined
    if (rows === undefined) {
      runs.push({ members: [i], rows: [1], totalRows: 1 })
      continue
    }
    const slot = open.find(({ like }) => isStackable(like, inputs))
    if (slot !== undefined && slot.run.totalRows + rows <= maxRows) {
      slot.run.members.push(i)
      slot.run.rows.push(rows)
      slot.run.totalRows += rows
      continue
    }
    const run = { members: [i], rows: [rows], totalRows: rows }
    runs.push(run)
    if (slot === undefined) open.push({ run, like: inputs })
    else slot.run = run
  }
  return runs
}

/** Rows that all inputs have in common; undefined when they have not, or have none. */
export function rowsOf(inputs: Inputs): number | undefined {
  const rows = inputs[0]?.shape[0]
  if (rows === undefined || rows === 0) return undefined
  return inputs.every((input) => input.shape[0] === rows) ? rows : undefined
}

function isStackable(a: Inputs, b: Inputs): boolean {
  return a.every((tensor, place) => {
    const other = b[place]?.shape
    if (other === undefined || other.length !== tensor.shape.length) return false
    for (let i = 1; i < other.length; i++) if (other[i] !== tensor.shape[i]) return false
    return true
  })
}

/** One tensor for each input, rows in the order of `requests`. All must be stackable with the first. */
export function stack(requests: readonly Inputs[], totalRows: number): Tensor[] {
  const [first = []] = requests
  return first.map(({ name, datatype, shape }, place) => {
    const pieces = requests.map((inputs) => inputs[place]?.data ?? [])
    return { name, datatype, shape: [totalRows, ...shape.slice(1)], data: concat(datatype, pieces) }
  })
}

function concat(datatype: Tensor['datatype'], pieces: readonly TensorData[]): TensorData {
  if (datatype === 'BYTES') return pieces.flatMap((piece) => piece as readonly string[])
  let elements = 0
  for (const piece of pieces) elements += piece.length
  const bytes = new Uint8Array(elements * DATATYPES[datatype].bytes)
  let at = 0
  for (const piece of pieces) {
    if (!ArrayBuffer.isView(piece)) continue
    bytes.set(new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength), at)
    at += piece.byteLength
  }
  return elementsView(datatype, bytes, elements)
}

/**
 * The outputs of a stacked run, cut into those of each member; views, not copies.
 * Undefined when an output does not have the rows that went in: then the model's rows are not independent after all.
 */
export function split(outputs: readonly Tensor[], { rows, totalRows }: Run): Tensor[][] | undefined {
  if (outputs.some((output) => output.shape[0] !== totalRows)) return undefined
  let row = 0
  return rows.map((count) => {
    const from = row
    row += count
    return outputs.map(({ name, datatype, shape, data }) => {
      const perRow = data.length / totalRows
      const part = ArrayBuffer.isView(data)
        ? data.subarray(from * perRow, row * perRow)
        : data.slice(from * perRow, row * perRow)
      return { name, datatype, shape: [count, ...shape.slice(1)], data: part }
    })
  })
}
