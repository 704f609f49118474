import assert from 'node:assert/strict'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import type { NamedTensor } from '../../../../loadtest/models/index.ts'
import { largestDeviation, modelBytes, Rng, writeModel } from '../../../../loadtest/models/index.ts'
import * as special from '../../../../loadtest/models/special/index.ts'
import { DATATYPES, isDatatype } from '../../../../src/domain/tensor-types.ts'
import { openModel, runModel } from '../../../support/models/run-model.ts'

const CHECKED: Readonly<Record<string, () => special.CheckedModel>> = {
  addOne: special.addOne,
  sumAndDifference: special.sumAndDifference,
  fixedBatch: () => special.fixedBatch(2),
  centredOverBatch: special.centredOverBatch,
  softmaxOverBatch: special.softmaxOverBatch,
  tableLookup: special.tableLookup,
  branches: special.branches,
  repeated: special.repeated,
  scanned: special.scanned,
  nested: () => special.nested(5),
  constantNode: special.constantNode,
  functionWithConstant: special.functionWithConstant,
  functionWithBranches: special.functionWithBranches,
  sidecar: special.sidecar,
  slow: special.slow,
  diesOfZeros: special.diesOfZeros,
  diesOfOnesToo: special.diesOfOnesToo,
  neverEndsBelowTwo: special.neverEndsBelowTwo,
  crashing: special.crashing,
}

describe('special models', () => {
  for (const [name, make] of Object.entries(CHECKED)) {
    it(`${name} answers as it says`, async () => {
      const checked = make()
      const bytes = modelBytes(checked.model)
      const rng = new Rng('special inputs', name)
      for (const batch of [1, 3]) {
        const inputs = checked.inputs(rng, batch)
        assertAnswers(await runModel(bytes, inputs), checked.expected(inputs))
      }
    })
  }

  for (const datatype of Object.keys(DATATYPES).filter(isDatatype)) {
    it(`identity gives ${datatype} back unchanged`, async () => {
      const { model, inputs, expected } = special.identity(datatype)
      const given = inputs(new Rng(datatype), 4)
      const actual = await runModel(modelBytes(model), given)
      assert.deepEqual(
        actual.map((tensor) => [tensor.name, tensor.datatype, [...tensor.shape], Array.from<unknown>(tensor.data)]),
        expected(given).map((tensor) => [
          tensor.name,
          tensor.datatype,
          [...tensor.shape],
          Array.from<unknown>(tensor.data),
        ]),
      )
    })
  }

  it('tableLookup fails the whole run on an id outside the table', async () => {
    const bytes = modelBytes(special.tableLookup(16).model)
    const ids: NamedTensor = { name: 'ids', datatype: 'INT64', shape: [2], data: BigInt64Array.of(3n, 16n) }
    await assert.rejects(runModel(bytes, [ids]), /out of/)
  })

  it('hostile models are refused by the engine as soon as it opens them', async () => {
    const refused = {
      unknownDomain: modelBytes(special.unknownDomain()),
      unknownOperator: modelBytes(special.unknownOperator()),
      epContext: modelBytes(special.epContext()),
      wrongRawLength: modelBytes(special.wrongRawLength()),
      overflowingDims: modelBytes(special.overflowingDims()),
      truncated: special.truncated(modelBytes(special.addOne().model)),
      nested: modelBytes(special.nested(60).model),
    }
    for (const [name, bytes] of Object.entries(refused)) await assert.rejects(openModel(bytes), Error, name)
  })
})

describe('models with weights in other files', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'zoo-external-'))
  after(() => rm(folder, { recursive: true, force: true }))

  for (const [index, external] of special.SIDECARS.entries()) {
    it(`answer with their weights in ${external.file}`, async () => {
      const path = join(folder, `${index}`, 'model.onnx')
      const { model, inputs, expected } = special.sidecar()
      const bytes = await writeModel(path, model, { external })
      const graphBytes = (await stat(path)).size
      assert.ok(graphBytes < 1024, `the graph file still has ${graphBytes} bytes`)
      assert.equal(bytes, graphBytes + (await stat(join(folder, `${index}`, external.file))).size)
      const given = inputs(new Rng(index), 2)
      assertAnswers(await runModel(path, given), expected(given))
    })
  }

  it('put tensors of bodies into the sidecar too', async () => {
    const path = join(folder, 'bodies', 'model.onnx')
    const { model, inputs, expected } = special.branches()
    await writeModel(path, model, { external: { file: 'bodies.bin', minBytes: 1024 } })
    assert.ok((await stat(path)).size < 2048)
    const given = inputs(new Rng('bodies'), 2)
    assertAnswers(await runModel(path, given), expected(given))
  })

  it('stream values that were never in memory whole', async () => {
    const path = join(folder, 'huge', 'model.onnx')
    const { model, inputs, expected } = special.huge({ tables: 3, rows: 512 })
    await writeModel(path, model, { external: { file: 'tables.bin', minBytes: 1024 } })
    const given = inputs(new Rng('huge'), 3)
    assertAnswers(await runModel(path, given), expected(given))
  })

  it('cannot be written inline past the limit of a protobuf message', () => {
    assert.throws(() => modelBytes(special.huge(special.OVER_TWO_GIB).model), RangeError)
  })

  it('are refused by the engine where a location leaves the folder', async () => {
    const path = join(folder, 'escaping', 'model.onnx')
    for (const location of special.ESCAPING_LOCATIONS) {
      for (const place of ['initializer', 'constant', 'branch'] as const) {
        await writeModel(path, special.externalAt(location, place))
        await assert.rejects(openModel(path), Error, `${location} in ${place}`)
      }
    }
  })
})

function assertAnswers(actual: readonly NamedTensor[], expected: readonly NamedTensor[]): void {
  const head = ({ name, datatype, shape }: NamedTensor): unknown => ({ name, datatype, shape: [...shape] })
  assert.deepEqual(actual.map(head), expected.map(head))
  for (const [i, { name, data }] of expected.entries()) {
    const deviation = largestDeviation(numbers(actual[i]?.data ?? []), numbers(data))
    assert.ok(deviation < 1e-4, `${name} deviates by ${deviation}`)
  }
}

function numbers(data: NamedTensor['data']): number[] {
  return Array.from<unknown>(data).map(Number)
}
