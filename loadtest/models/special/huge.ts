/**
 * A model of any size, past the 2 GiB of a protobuf message too: tables of embeddings whose rows are added up.
 * Its values are made while they are written, so it never exists in memory; write it with a sidecar.
 */
import { GraphBuilder } from '../graph-builder.ts'
import { bytesOf, DATA_TYPE, modelOf } from '../onnx-model.ts'
import { Rng } from '../random.ts'
import { at } from '../reference-math.ts'
import { float32Tensor, int64Tensor, int64Values } from '../tensor.ts'
import type { CheckedModel } from './checked-model.ts'

/** Values per row of a table. */
const WIDTH = 1024

/** Rows made at once: 1 MiB. */
const CHUNK_ROWS = 256

export interface HugeSize {
  readonly tables: number
  /** Rows per table, 4 KiB each; a multiple of 256. */
  readonly rows: number
}

/** 2.4 GB: twelve tables of 200 MB. */
export const OVER_TWO_GIB: HugeSize = { tables: 12, rows: 48_896 }

/** sum FP32 [N, 1024] of the rows that ids INT64 [N] name in every table. */
export function huge({ tables, rows }: HugeSize): CheckedModel {
  const graph = new GraphBuilder('huge')
  const ids = graph.input('ids', DATA_TYPE.INT64, ['N'])
  const picked = Array.from({ length: tables }, (_, table) => {
    const name = graph.initializer({
      name: `table${table}`,
      dataType: DATA_TYPE.FLOAT,
      dims: [rows, WIDTH],
      data: { kind: 'stream', byteLength: 4 * rows * WIDTH, chunks: () => chunks(table, rows) },
    })
    return graph.node('Gather', [name, ids])
  })
  graph.node('Sum', picked, { outputs: ['sum'] })
  graph.output('sum', DATA_TYPE.FLOAT, ['N', WIDTH])
  return {
    model: modelOf(graph.finish()),
    inputs: (rng, batch) => [
      int64Tensor(
        'ids',
        [batch],
        BigInt64Array.from({ length: batch }, () => BigInt(rng.below(rows))),
      ),
    ],
    expected: (inputs) => {
      const wanted = Array.from(int64Values(inputs, 'ids'), Number)
      const sum = new Float32Array(wanted.length * WIDTH)
      for (const [row, id] of wanted.entries()) {
        for (let table = 0; table < tables; table += 1) {
          const values = chunk(table, Math.floor(id / CHUNK_ROWS)).subarray((id % CHUNK_ROWS) * WIDTH)
          for (let i = 0; i < WIDTH; i += 1) sum[row * WIDTH + i] = at(sum, row * WIDTH + i) + at(values, i)
        }
      }
      return [float32Tensor('sum', [wanted.length, WIDTH], sum)]
    },
  }
}

function* chunks(table: number, rows: number): Iterable<Uint8Array> {
  for (let index = 0; index < rows / CHUNK_ROWS; index += 1) yield bytesOf(chunk(table, index))
}

/** Rows `index * 256` up to the next 256 of a table. */
function chunk(table: number, index: number): Float32Array {
  return new Rng('huge', table, index).fillBell(new Float32Array(CHUNK_ROWS * WIDTH), 1)
}
