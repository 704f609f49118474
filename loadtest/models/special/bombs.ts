/**
 * Models that mean harm, each with when it goes off and a request that sets it off: for tests of what becomes of them, and for a tenant
 * that sends nothing else while the neighbours are measured.
 */
import { modelBytes } from '../onnx-writer.ts'
import type { NamedTensor } from '../tensor.ts'
import { float32Tensor, int64Tensor } from '../tensor.ts'
import {
  cyclic,
  deepBranches,
  doublingFunctions,
  manyInitializers,
  manyNodes,
  manyOutputs,
  recursiveFunction,
  sparseBlowUp,
} from './bomb-structure.ts'
import { allocatingOnRequest, answeringOnRequest, endlessFolding, endlessLoop, endlessOnRequest } from './bomb-work.ts'
import { crashing, POISON, poisonInputs } from './crashing.ts'
import { constantOfShapeBomb } from './hostile.ts'

export interface Bomb {
  /** Fit for a model's name. */
  readonly name: string
  /** The file, made anew by each call; up to 25 MB. */
  readonly bytes: () => Uint8Array
  /**
   * `walk`: it need not be opened to be refused. `compile`: memory or time run out while it is optimised or checked. `run`: the engine
   * opens it like any other, and every request sets it off. `request`: it answers what is harmless.
   */
  readonly goesOff: 'walk' | 'compile' | 'run' | 'request'
  /** What of the process that holds it gives way; `answer`: the size of what it would have to send. */
  readonly harm: 'none' | 'memory' | 'time' | 'process' | 'answer'
  readonly trigger: () => readonly NamedTensor[]
  readonly harmless?: () => readonly NamedTensor[]
}

const GIB_OF_FLOATS = 2n ** 28n

const column = (): NamedTensor => float32Tensor('x', [1, 1], Float32Array.of(1))
const row = (): NamedTensor => float32Tensor('x', [4], Float32Array.of(1, 2, 3, 4))
const one = (): NamedTensor => float32Tensor('x', [1], Float32Array.of(1))
const number = (name: string, value: bigint): NamedTensor => int64Tensor(name, [1], BigInt64Array.of(value))

/** Refused without opening it: its structure tells. */
const BY_STRUCTURE: readonly Bomb[] = [
  walked('a-million-nodes', () => manyNodes(1_000_001), row),
  walked('many-outputs', () => manyOutputs(100_000), row),
  walked('many-initializers-of-one-node', () => manyInitializers(100_000), row),
  walked('doubling-functions', () => doublingFunctions(30), row),
  walked('recursive-function', recursiveFunction, row),
  walked('deep-branches', () => deepBranches(1_000), one),
  walked('deepest-branches', () => deepBranches(100_000), one),
]

const BY_WORK: readonly Bomb[] = [
  compiled('a-gigabyte-constant', 'memory', () => modelBytes(constantOfShapeBomb()), column),
  compiled('a-constant-beyond-memory', 'memory', () => modelBytes(constantOfShapeBomb(2 ** 42)), column),
  compiled('a-dense-gigabyte-of-one-value', 'memory', () => sparseBlowUp(2 ** 28), one),
  compiled('endless-folding', 'time', () => modelBytes(endlessFolding()), column),
  compiled('cyclic', 'none', cyclic, row),
]

const BY_RUN: readonly Bomb[] = [
  {
    name: 'endless-loop',
    bytes: () => modelBytes(endlessLoop()),
    goesOff: 'run',
    harm: 'time',
    trigger: () => [column()],
  },
  {
    name: 'endless-on-request',
    bytes: () => modelBytes(endlessOnRequest()),
    goesOff: 'request',
    harm: 'time',
    trigger: () => [number('steps', 2n ** 62n), column()],
    harmless: () => [number('steps', 2n), column()],
  },
  {
    name: 'allocating-on-request',
    bytes: () => modelBytes(allocatingOnRequest()),
    goesOff: 'request',
    harm: 'memory',
    // 16 GiB, touched from end to end.
    trigger: () => [number('size', 16n * GIB_OF_FLOATS)],
    harmless: () => [number('size', 1000n)],
  },
  {
    name: 'answering-on-request',
    bytes: () => modelBytes(answeringOnRequest()),
    goesOff: 'request',
    harm: 'answer',
    // 256 MiB; in JSON half of that.
    trigger: () => [number('size', GIB_OF_FLOATS / 4n)],
    harmless: () => [number('size', 1000n)],
  },
  {
    name: 'crashing-on-request',
    bytes: () => modelBytes(crashing().model),
    goesOff: 'request',
    harm: 'process',
    trigger: () => poisonInputs(),
    harmless: () => poisonInputs().map((tensor) => ({ ...tensor, data: Int32Array.of(POISON + 1) })),
  },
]

export const BOMBS: readonly Bomb[] = [...BY_STRUCTURE, ...BY_WORK, ...BY_RUN]

function walked(name: string, bytes: () => Uint8Array, input: () => NamedTensor): Bomb {
  return { name, bytes, goesOff: 'walk', harm: 'none', trigger: () => [input()] }
}

function compiled(name: string, harm: Bomb['harm'], bytes: () => Uint8Array, input: () => NamedTensor): Bomb {
  return { name, bytes, goesOff: 'compile', harm, trigger: () => [input()] }
}
