import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { GraphBuilder } from '../../../loadtest/models/graph-builder.ts'
import { modelBytes, modelClass } from '../../../loadtest/models/index.ts'
import type { OnnxModel } from '../../../loadtest/models/onnx-model.ts'
import { DATA_TYPE, modelOf, rawTensor } from '../../../loadtest/models/onnx-model.ts'
import {
  deepBranches,
  doublingFunctions,
  manyInitializers,
  manyOutputs,
  recursiveFunction,
} from '../../../loadtest/models/special/bomb-structure.ts'
import { branches, functionWithConstant, nested } from '../../../loadtest/models/special/index.ts'
import { ExternalFiles } from '../../../src/artifact/external-files.ts'
import { ATTRIBUTE, ENTRY, FUNCTION, MODEL, TENSOR } from '../../../src/artifact/onnx-fields.ts'
import { Random } from '../../../src/artifact/random.ts'
import type { WalkLimits } from '../../../src/artifact/walk.ts'
import { walkModel } from '../../../src/artifact/walk.ts'
import { ByteWindow } from '../../../src/artifact/wire.ts'
import { bytesField, textField, varintField } from '../../../src/artifact/wire-write.ts'
import { GatewayError } from '../../../src/domain/errors.ts'

const root = mkdtempSync(join(tmpdir(), 'modelmux-walk-'))
after(() => rmSync(root, { recursive: true, force: true }))

const LIMITS: WalkLimits = { maxNodes: 1000, extraDomains: [] }

function walk(model: OnnxModel | Uint8Array, limits: Partial<WalkLimits> = {}) {
  const bytes = Buffer.from(model instanceof Uint8Array ? model : modelBytes(model))
  const files = new ExternalFiles(root, join(root, 'model.onnx'), { allowHardLinks: false })
  return walkModel(ByteWindow.ofBuffer(bytes), files, { ...LIMITS, ...limits })
}

function refuses(model: OnnxModel | Uint8Array, says: RegExp, limits: Partial<WalkLimits> = {}) {
  assert.throws(
    () => walk(model, limits),
    (error) => error instanceof GatewayError && error.code === 'ARTIFACT_INVALID' && says.test(error.message),
  )
}

const xs = () => modelClass('XS').build({ customer: 1, family: 'head', seed: 1 })

/** One operator on x FP32 [N, 4], with an initializer `axes` beside it. */
function oneNode(
  opType: string,
  options: Parameters<GraphBuilder['node']>[2] = {},
  extraInputs: readonly string[] = [],
): OnnxModel {
  const graph = new GraphBuilder('one')
  const x = graph.input('x', DATA_TYPE.FLOAT, ['N', 4])
  graph.int64s('axes', [0])
  graph.int64s('last', [-1])
  graph.node(opType, [x, ...extraInputs], { ...options, outputs: ['y'] })
  graph.output('y', DATA_TYPE.FLOAT, ['N', 4])
  return modelOf(graph.finish())
}

/** y = x of the shape. */
function identityOf(dims: readonly (number | string)[]): OnnxModel {
  const graph = new GraphBuilder('identity')
  graph.node('Identity', [graph.input('x', DATA_TYPE.FLOAT, dims)], { outputs: ['y'] })
  graph.output('y', DATA_TYPE.FLOAT, dims)
  return modelOf(graph.finish())
}

describe('what a walk finds', () => {
  test('the signature without initializers, operators, opsets, and bytes of tensors', () => {
    const facts = walk(xs())
    assert.deepEqual(facts.signature, {
      inputs: [{ name: 'features', datatype: 'FP32', shape: ['N', 64] }],
      outputs: [{ name: 'scores', datatype: 'FP32', shape: ['N', 8] }],
    })
    assert.deepEqual(facts.operators, { Gemm: 2, Relu: 1 })
    assert.deepEqual(facts.opsets, { '': 17 })
    assert.equal(facts.tensorBytes, 4 * 18_696)
    assert.deepEqual(facts.batchHazards, [])
    assert.equal(facts.hasBodies, false)
    assert.equal(walk(branches().model).hasBodies, true)
  })

  test('an input with an initializer is a default that nobody sends', () => {
    const graph = new GraphBuilder('defaults')
    const x = graph.input('x', DATA_TYPE.FLOAT, [-1, 'width'])
    graph.input('w', DATA_TYPE.FLOAT, [1])
    graph.initializer(rawTensor('w', DATA_TYPE.FLOAT, [1], Float32Array.of(2)))
    graph.node('Mul', [x, 'w'], { outputs: ['y'] })
    graph.output('y', DATA_TYPE.FLOAT, ['N', 'width'])
    assert.deepEqual(walk(modelOf(graph.finish())).signature.inputs, [
      { name: 'x', datatype: 'FP32', shape: [-1, 'width'] },
    ])
  })

  test('nodes of bodies and functions count', () => {
    assert.ok((walk(branches().model).operators.If ?? 0) >= 1)
    assert.ok(walk(functionWithConstant().model).nodes > 1)
  })
})

describe('what a walk refuses', () => {
  test('every cut of a model, without a crash', () => {
    const bytes = modelBytes(xs())
    for (let length = 0; length < bytes.length; length += 997) refuses(bytes.subarray(0, length), /ONNX model/)
  })

  test('random bytes, without a crash', () => {
    const random = new Random(1)
    for (let round = 0; round < 500; round++) {
      const bytes = Buffer.from(Array.from({ length: 64 }, () => random.below(256)))
      refuses(bytes, /./)
    }
  })

  test('more nodes than allowed', () => refuses(xs(), /more than 2 nodes/, { maxNodes: 2 }))

  test('more nodes than allowed once functions are written out, before the engine writes them out', () => {
    const limits = { maxNodes: 100_000 }
    refuses(doublingFunctions(30), /1073741824 nodes once its functions/, limits)
    assert.equal(walk(doublingFunctions(10), limits).nodes, 21)
    refuses(recursiveFunction(), /acme\.recursion:F calls itself/, limits)
  })

  test('more than one graph declares, one node takes, or one value spans', () => {
    const limits = { maxNodes: 100_000 }
    refuses(manyOutputs(5_000), /more than 4096 outputs/, limits)
    refuses(manyInitializers(20_000), /more than 16384 inputs and outputs/, limits)
    refuses(identityOf(Array.from({ length: 65 }, () => 1)), /more than 64 dimensions/)
    refuses(identityOf(['N'.repeat(5_000)]), /a name of 5000 characters/)
  })

  test('graphs a hundred thousand levels deep, without a crash of its own', () => {
    refuses(deepBranches(100_000), /nests graphs deeper/)
  })

  test('graphs nested too deep', () => {
    assert.ok(walk(nested(10).model))
    refuses(nested(40).model, /nests graphs deeper/)
  })

  test('a domain the engine does not have, unless it is configured', () => {
    const model = oneNode('Mystery', { domain: 'acme' })
    refuses(model, /domain 'acme'/)
    assert.ok(walk(model, { extraDomains: ['acme'] }))
  })

  test('inputs and outputs that requests cannot carry, with the reason', () => {
    const graph = new GraphBuilder('bf16')
    graph.input('x', 16, ['N'])
    graph.node('Identity', ['x'], { outputs: ['y'] })
    graph.output('y', 16, ['N'])
    refuses(modelOf(graph.finish()), /input 'x' is BFLOAT16.*Cast/)
  })

  test('a dimension beyond every number that a shape can say', () => {
    const graph = new GraphBuilder('endless')
    graph.input('x', 1, ['N', 2 ** 60])
    graph.node('Identity', ['x'], { outputs: ['y'] })
    graph.output('y', 1, ['N', 2 ** 60])
    refuses(modelOf(graph.finish()), /input 'x' declares a dimension of 1152921504606847000/)
  })

  test('an input without a shape', () => {
    const graph = new GraphBuilder('shapeless').finish()
    refuses(
      modelOf({ ...graph, inputs: [{ name: 'x', dataType: 1 }], outputs: [{ name: 'x', dataType: 1 }] }),
      /declares no shape/,
    )
  })

  test('a model without outputs', () => refuses(modelOf(new GraphBuilder('none').finish()), /no outputs/))
})

/** A model with a function beside its graph that has a default of this tensor for an attribute. */
function withDefault(...tensors: readonly Buffer[]): Buffer {
  const attribute = Buffer.concat(tensors.map((tensor) => bytesField(ATTRIBUTE.tensor, tensor)))
  const body = Buffer.concat([textField(FUNCTION.name, 'f'), bytesField(FUNCTION.attribute, attribute)])
  return Buffer.concat([modelBytes(xs()), bytesField(MODEL.functions, body)])
}

/** An int64 tensor of one element, with further fields. */
function tensorOf(...fields: readonly Buffer[]): Buffer {
  return Buffer.concat([varintField(TENSOR.dims, 1), varintField(TENSOR.dataType, 7), ...fields])
}

function entry(key: string, value: string): Buffer {
  return bytesField(TENSOR.externalData, Buffer.concat([textField(ENTRY.key, key), textField(ENTRY.value, value)]))
}

describe('what other readers of the format would read otherwise', () => {
  const upwards = entry('location', '../secret')
  const external = varintField(TENSOR.dataLocation, 1)
  const raw = bytesField(TENSOR.rawData, Buffer.alloc(8))

  test('a second graph is refused, for it would be merged with the first', () => {
    refuses(Buffer.concat([modelBytes(xs()), bytesField(MODEL.graph, Buffer.alloc(0))]), /a second graph/)
  })

  test('a second tensor of one attribute is refused', () => {
    assert.ok(walk(withDefault(tensorOf(raw))))
    refuses(withDefault(tensorOf(raw), tensorOf(raw)), /a second field 5/)
  })

  test('a field of another wire type than its own is refused', () => {
    refuses(Buffer.concat([modelBytes(xs()), varintField(MODEL.functions, 1)]), /wire type 0/)
    refuses(withDefault(tensorOf(raw, textField(TENSOR.dataLocation, 'x'))), /wire type 2/)
  })

  test('defaults of functions are looked into', () => refuses(withDefault(tensorOf(external, upwards)), /goes up/))

  test('external entries are checked whatever the flag beside them says', () => {
    refuses(withDefault(tensorOf(raw, upwards)), /goes up/)
  })

  test('an entry that is given twice is refused', () => {
    refuses(withDefault(tensorOf(external, entry('location', 'fine'), upwards)), /given twice/)
  })

  test('raw data of an external tensor is never taken for its values', () => {
    writeFileSync(join(root, 'values.bin'), Buffer.alloc(8))
    const short = bytesField(TENSOR.rawData, Buffer.alloc(1))
    assert.ok(walk(withDefault(tensorOf(external, entry('location', 'values.bin'), short))))
  })
})

test('a body sees the constants of the graphs around it', () => {
  const hazards = (axis: number) => {
    const graph = new GraphBuilder('outer')
    const x = graph.input('x', DATA_TYPE.FLOAT, ['N', 4])
    const value = {
      kind: 'tensor',
      value: rawTensor('', DATA_TYPE.INT64, [1], BigInt64Array.of(BigInt(axis))),
    } as const
    graph.node('Constant', [], { outputs: ['axes'], attributes: { value } })
    const body = new GraphBuilder('inner')
    body.node('ReduceSum', [x, 'axes'], { outputs: ['z'] })
    body.output('z', DATA_TYPE.FLOAT, ['N', 4])
    graph.initializer(rawTensor('yes', DATA_TYPE.BOOL, [], Uint8Array.of(1)))
    const branch = { kind: 'graph', value: body.finish() } as const
    graph.node('If', ['yes'], { outputs: ['y'], attributes: { then_branch: branch, else_branch: branch } })
    graph.output('y', DATA_TYPE.FLOAT, ['N', 4])
    return walk(modelOf(graph.finish())).batchHazards.filter((hazard) => hazard.includes('ReduceSum'))
  }
  assert.deepEqual(hazards(-1), [])
  assert.deepEqual(hazards(0), ['operator ReduceSum over axis 0'])
})

describe('batch hazards', () => {
  const reduce = { attributes: { axes: { kind: 'ints', values: [0] } } } as const
  const HAZARDS: Readonly<Record<string, OnnxModel>> = {
    'operator ReduceMean over axis 0': oneNode('ReduceMean', reduce),
    'operator ReduceSum over all axes': oneNode('ReduceSum'),
    'operator ReduceSum over axis 0': oneNode('ReduceSum', {}, ['axes']),
    'operator ReduceSum over axes computed at run time': oneNode('ReduceSum', {}, ['x']),
    'operator Softmax over axis 0': oneNode('Softmax', { attributes: { axis: { kind: 'int', value: 0 } } }),
    'operator ArgMax over axis 0': oneNode('ArgMax'),
    'operator CumSum over axis 0': oneNode('CumSum', {}, ['axes']),
    'operator DynamicQuantizeLinear': oneNode('DynamicQuantizeLinear'),
    'operator RandomNormalLike': oneNode('RandomNormalLike'),
    'operator NonZero': oneNode('NonZero'),
    'operator BatchNormalization in training mode': oneNode('BatchNormalization', {
      attributes: { training_mode: { kind: 'int', value: 1 } },
    }),
  }
  for (const [hazard, model] of Object.entries(HAZARDS)) {
    test(`names ${hazard}`, () => assert.deepEqual(walk(model).batchHazards, [hazard]))
  }

  test('work along other axes is none', () => {
    assert.deepEqual(walk(oneNode('ReduceSum', {}, ['last'])).batchHazards, [])
    assert.deepEqual(walk(oneNode('Softmax', { attributes: { axis: { kind: 'int', value: -1 } } })).batchHazards, [])
    assert.deepEqual(walk(oneNode('BatchNormalization')).batchHazards, [])
  })
})
