/** The square matrix that control-flow, function and sidecar models carry: big enough to be moved out of a graph, small enough to be quick. */
import { DATA_TYPE, type OnnxTensor, rawTensor } from '../onnx-model.ts'
import { Rng } from '../random.ts'
import { at, matMul, type Numbers } from '../reference-math.ts'

/** 160 x 160 float32 are 100 KB, above the 64 KiB from which an artifact keeps a tensor in a file of its own. */
export const WIDTH = 160

/** [WIDTH, WIDTH], scaled so that a vector keeps its length; a different one for every `label`. */
export function squareMatrix(label: string): Float32Array {
  return new Rng('special', label).fillBell(new Float32Array(WIDTH * WIDTH), 1 / Math.sqrt(WIDTH))
}

export function matrixTensor(name: string, label: string): OnnxTensor {
  return rawTensor(name, DATA_TYPE.FLOAT, [WIDTH, WIDTH], squareMatrix(label))
}

/** tanh(x times the matrix of that label), x [rows, WIDTH]. */
export function tanhStep(x: Numbers, label: string): Float64Array {
  return matMul(x, squareMatrix(label), WIDTH, WIDTH).map(Math.tanh)
}

/** One row's part of a row-major [rows, WIDTH]. */
export function rowOf(x: Numbers, row: number): Float64Array {
  return Float64Array.from({ length: WIDTH }, (_, i) => at(x, row * WIDTH + i))
}
