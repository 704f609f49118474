/**
 * T: gradient-boosted regression, 500 complete trees of depth 7, 4 MB, all of it node attributes: nothing that could be mapped.
 * features [N, 32] in, risk [N, 1] out. Nodes are numbered like a heap: children of i are 2i + 1 and 2i + 2, leaves start at 127.
 */
import { GraphBuilder } from './graph-builder.ts'
import { assertFamily, type ModelClass, type Recipe } from './model-class.ts'
import { DATA_TYPE, modelOf, type OnnxModel } from './onnx-model.ts'
import { Rng } from './random.ts'
import { at } from './reference-math.ts'
import { float32Tensor, float32Values, type NamedTensor } from './tensor.ts'

const TREES = 500
const DEPTH = 7
const BRANCHES = 2 ** DEPTH - 1
const LEAVES = 2 ** DEPTH
const NODES = BRANCHES + LEAVES
const FEATURES = 32
const BASE_VALUE = 0.5

/** Of ai.onnx.ml, where TreeEnsembleRegressor is what converters write. */
const ML_OPSET = 3

interface Forest {
  /** Per tree and branch: the feature compared, and the value it is compared with. */
  readonly features: Uint8Array
  readonly thresholds: Float32Array
  /** Per tree and leaf. */
  readonly leaves: Float32Array
}

export class Trees implements ModelClass {
  readonly name = 'T'
  readonly families = ['full'] as const
  readonly tolerance = 1e-3
  readonly isBatchSafe = true
  readonly #structure = structure()

  build(recipe: Recipe): OnnxModel {
    assertFamily(this, recipe.family)
    const graph = new GraphBuilder('trees')
    graph.input('features', DATA_TYPE.FLOAT, ['N', FEATURES])
    graph.node('TreeEnsembleRegressor', ['features'], {
      domain: 'ai.onnx.ml',
      outputs: ['risk'],
      attributes: { ...this.#structure, ...contents(forestOf(recipe)) },
    })
    graph.output('risk', DATA_TYPE.FLOAT, ['N', 1])
    return modelOf(graph.finish(), { opsets: { 'ai.onnx.ml': ML_OPSET } })
  }

  sampleInputs(rng: Rng, batch: number): NamedTensor[] {
    return [float32Tensor('features', [batch, FEATURES], rng.fillBell(new Float32Array(batch * FEATURES), 1))]
  }

  expected(recipe: Recipe, inputs: readonly NamedTensor[]): NamedTensor[] {
    assertFamily(this, recipe.family)
    const forest = forestOf(recipe)
    const features = float32Values(inputs, 'features')
    const batch = features.length / FEATURES
    const risk = Float32Array.from({ length: batch }, (_, row) =>
      predict(forest, features.subarray(row * FEATURES, (row + 1) * FEATURES)),
    )
    return [float32Tensor('risk', [batch, 1], risk)]
  }
}

function forestOf({ customer, seed }: Recipe): Forest {
  const rng = new Rng('T', seed, customer)
  return {
    features: new Uint8Array(TREES * BRANCHES).map(() => rng.below(FEATURES)),
    thresholds: rng.fillBell(new Float32Array(TREES * BRANCHES), 0.7),
    leaves: rng.fillBell(new Float32Array(TREES * LEAVES), 1 / Math.sqrt(TREES)),
  }
}

function predict({ features, thresholds, leaves }: Forest, row: Float32Array): number {
  let sum = BASE_VALUE
  for (let tree = 0; tree < TREES; tree += 1) {
    let node = 0
    while (node < BRANCHES) {
      const branch = tree * BRANCHES + node
      node = at(row, features[branch] ?? 0) <= at(thresholds, branch) ? 2 * node + 1 : 2 * node + 2
    }
    sum += at(leaves, tree * LEAVES + node - BRANCHES)
  }
  return sum
}

/** What every forest has in common: the shape of its trees. */
function structure() {
  const perNode = (value: (tree: number, node: number) => number): Int32Array =>
    Int32Array.from({ length: TREES * NODES }, (_, i) => value(Math.floor(i / NODES), i % NODES))
  const perLeaf = (value: (tree: number, leaf: number) => number): Int32Array =>
    Int32Array.from({ length: TREES * LEAVES }, (_, i) => value(Math.floor(i / LEAVES), i % LEAVES))
  const ints = (values: Int32Array) => ({ kind: 'ints', values }) as const
  const modes = Array.from({ length: TREES * NODES }, (_, i) => (i % NODES < BRANCHES ? 'BRANCH_LEQ' : 'LEAF'))
  return {
    n_targets: { kind: 'int', value: 1 },
    base_values: { kind: 'floats', values: [BASE_VALUE] },
    nodes_treeids: ints(perNode((tree) => tree)),
    nodes_nodeids: ints(perNode((_, node) => node)),
    nodes_modes: { kind: 'strings', values: modes },
    nodes_truenodeids: ints(perNode((_, node) => (node < BRANCHES ? 2 * node + 1 : 0))),
    nodes_falsenodeids: ints(perNode((_, node) => (node < BRANCHES ? 2 * node + 2 : 0))),
    target_treeids: ints(perLeaf((tree) => tree)),
    target_nodeids: ints(perLeaf((_, leaf) => BRANCHES + leaf)),
    target_ids: ints(perLeaf(() => 0)),
  } as const
}

function contents({ features, thresholds, leaves }: Forest) {
  const featureIds = new Uint8Array(TREES * NODES)
  const values = new Float32Array(TREES * NODES)
  for (let tree = 0; tree < TREES; tree += 1) {
    featureIds.set(features.subarray(tree * BRANCHES, (tree + 1) * BRANCHES), tree * NODES)
    values.set(thresholds.subarray(tree * BRANCHES, (tree + 1) * BRANCHES), tree * NODES)
  }
  return {
    nodes_featureids: { kind: 'ints', values: featureIds },
    nodes_values: { kind: 'floats', values },
    target_weights: { kind: 'floats', values: leaves },
  } as const
}
