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

  build(recipe: Recipe): OnnxModel {
    assertFamily(this, recipe.family)
    const graph = new GraphBuilder('trees')
    graph.input('features', DATA_TYPE.FLOAT, ['N', FEATURES])
    graph.node('TreeEnsembleRegressor', ['features'], {
      domain: 'ai.onnx.ml',
      outputs: ['risk'],
      attributes: ensembleAttributes(forestOf(recipe)),
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
    features: Uint8Array.from({ length: TREES * BRANCHES }, () => rng.below(FEATURES)),
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

function ensembleAttributes({ features, thresholds, leaves }: Forest) {
  const perNode = (value: (tree: number, node: number) => number): number[] =>
    Array.from({ length: TREES * NODES }, (_, i) => value(Math.floor(i / NODES), i % NODES))
  const perBranch = (value: (branch: number, node: number) => number): number[] =>
    perNode((tree, node) => (node < BRANCHES ? value(tree * BRANCHES + node, node) : 0))
  const perLeaf = (value: (tree: number, leaf: number) => number): number[] =>
    Array.from({ length: TREES * LEAVES }, (_, i) => value(Math.floor(i / LEAVES), i % LEAVES))
  const ints = (values: readonly number[]) => ({ kind: 'ints', values }) as const
  return {
    n_targets: { kind: 'int', value: 1 },
    base_values: { kind: 'floats', values: [BASE_VALUE] },
    nodes_treeids: ints(perNode((tree) => tree)),
    nodes_nodeids: ints(perNode((_, node) => node)),
    nodes_featureids: ints(perBranch((branch) => features[branch] ?? 0)),
    nodes_values: { kind: 'floats', values: perBranch((branch) => at(thresholds, branch)) },
    nodes_modes: {
      kind: 'strings',
      values: Array.from({ length: TREES * NODES }, (_, i) => (i % NODES < BRANCHES ? 'BRANCH_LEQ' : 'LEAF')),
    },
    nodes_truenodeids: ints(perBranch((_, node) => 2 * node + 1)),
    nodes_falsenodeids: ints(perBranch((_, node) => 2 * node + 2)),
    target_treeids: ints(perLeaf((tree) => tree)),
    target_nodeids: ints(perLeaf((_, leaf) => BRANCHES + leaf)),
    target_ids: ints(perLeaf(() => 0)),
    target_weights: { kind: 'floats', values: leaves },
  } as const
}
