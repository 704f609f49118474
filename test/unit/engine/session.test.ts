import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { GatewayError } from '../../../src/domain/errors.ts'
import type { Datatype, Tensor, TensorData } from '../../../src/domain/tensor-types.ts'
import { ortVersion } from '../../../src/engine/ort.ts'
import { EngineSession } from '../../../src/engine/session.ts'
import { compileOptions, mappedOptions, plainOptions } from '../../../src/engine/session-options.ts'
import type { ModelFolder } from '../../support/tiny-models.ts'
import { addModel, gatherModel, identityModel, modelFolder } from '../../support/tiny-models.ts'

const OPTIONS = plainOptions({ intraOpThreads: 1 })

const SAMPLES: Record<Datatype, TensorData> = {
  BOOL: Uint8Array.of(0, 1),
  UINT8: Uint8Array.of(0, 255),
  UINT16: Uint16Array.of(0, 65_535),
  UINT32: Uint32Array.of(0, 4_294_967_295),
  UINT64: BigUint64Array.of(0n, 18_446_744_073_709_551_615n),
  INT8: Int8Array.of(-128, 127),
  INT16: Int16Array.of(-32_768, 32_767),
  INT32: Int32Array.of(-2_147_483_648, 2_147_483_647),
  INT64: BigInt64Array.of(-9_223_372_036_854_775_808n, 9_223_372_036_854_775_807n),
  FP16: Uint16Array.of(0x3c00, 0xfc00),
  FP32: Float32Array.of(Number.NaN, -0),
  FP64: Float64Array.of(Number.POSITIVE_INFINITY, 5e-324),
  BYTES: ['', 'π and 🙂'],
}

describe('EngineSession', () => {
  let models: ModelFolder
  before(async () => {
    models = await modelFolder()
  })
  after(() => models[Symbol.asyncDispose]())

  for (const [datatype, data] of Object.entries(SAMPLES) as [Datatype, TensorData][]) {
    it(`carries ${datatype} through the engine bit by bit`, async () => {
      const session = await EngineSession.open(
        await models.write(`identity-${datatype}`, identityModel(datatype)),
        OPTIONS,
      )
      const [y] = await session.run([{ name: 'x', datatype, shape: [1, 2], data }])
      assert.deepEqual(y, { name: 'y', datatype, shape: [1, 2], data })
      await session.release()
    })
  }

  it('tells the signature with symbols, and unnamed free dimensions as -1', async () => {
    const session = await EngineSession.open(await models.write('shapes', identityModel('FP32', ['N', 3, ''])), OPTIONS)
    assert.deepEqual(session.signature, {
      inputs: [{ name: 'x', datatype: 'FP32', shape: ['N', 3, -1] }],
      outputs: [{ name: 'y', datatype: 'FP32', shape: ['N', 3, -1] }],
    })
    await session.release()
  })

  it('gives the outputs asked for, in the order asked for', async () => {
    const session = await EngineSession.open(await models.write('add', addModel()), OPTIONS)
    const inputs = ['a', 'b'].map(
      (name): Tensor => ({ name, datatype: 'FP32', shape: [1, 2], data: Float32Array.of(1, 2) }),
    )
    const names = async (outputs?: string[]) => (await session.run(inputs, outputs)).map((output) => output.name)
    assert.deepEqual(await names(), ['sum', 'total'])
    assert.deepEqual(await names(['total', 'sum']), ['total', 'sum'])
    assert.deepEqual(await names(['total']), ['total'])
    await session.release()
  })

  it('takes a batch without rows', async () => {
    const session = await EngineSession.open(await models.write('add-empty', addModel()), OPTIONS)
    const inputs = ['a', 'b'].map(
      (name): Tensor => ({ name, datatype: 'FP32', shape: [0, 2], data: new Float32Array(0) }),
    )
    const [sum] = await session.run(inputs, ['sum'])
    assert.deepEqual(sum?.shape, [0, 2])
    await session.release()
  })

  it('blames the caller for an index out of range, and says which', async () => {
    const session = await EngineSession.open(await models.write('gather', gatherModel()), OPTIONS)
    const run = session.run([{ name: 'x', datatype: 'INT64', shape: [1], data: BigInt64Array.of(7n) }])
    await assert.rejects(run, (error) => {
      assert.ok(error instanceof GatewayError)
      assert.equal(error.code, 'BAD_INPUT_VALUE')
      assert.match(error.message, /idx=7 must be within the inclusive range \[-3,2\]$/)
      assert.doesNotMatch(error.message, /\.(cc|h)\b/)
      assert.ok(error.cause instanceof Error)
      return true
    })
    await session.release()
  })

  it('blames the caller for rows that do not agree', async () => {
    const session = await EngineSession.open(await models.write('add-rows', addModel()), OPTIONS)
    const run = session.run([
      { name: 'a', datatype: 'FP32', shape: [2, 2], data: new Float32Array(4) },
      { name: 'b', datatype: 'FP32', shape: [3, 2], data: new Float32Array(6) },
    ])
    await assert.rejects(run, { code: 'BAD_INPUT_VALUE' })
    await session.release()
  })

  it('takes a file that is missing for a failure of the moment, and one that is no model for a broken one', async () => {
    await assert.rejects(EngineSession.open('/nowhere/model.onnx', OPTIONS), { code: 'MODEL_LOAD_FAILED' })
    const noise = await models.write('noise', Buffer.from('this is not a model'))
    await assert.rejects(EngineSession.open(noise, OPTIONS), { code: 'ARTIFACT_INVALID' })
  })

  it('releases twice without harm and refuses to run afterwards', async () => {
    const session = await EngineSession.open(await models.write('released', gatherModel()), OPTIONS)
    await session.release()
    await session.release()
    await assert.rejects(session.run([]), { code: 'INTERNAL' })
  })

  it('opens what compile options saved with mapped options, packed or not, and gives the same answer', async () => {
    const saveTo = `${models.dir}/compiled.onnx`
    const input: Tensor = { name: 'x', datatype: 'INT64', shape: [2], data: BigInt64Array.of(2n, 0n) }
    const compiler = await EngineSession.open(await models.write('source', gatherModel()), compileOptions({ saveTo }))
    const [expected] = await compiler.run([input])
    await compiler.release()
    for (const isPacked of [false, true]) {
      const session = await EngineSession.open(saveTo, mappedOptions({ isPacked, intraOpThreads: 2 }))
      assert.deepEqual((await session.run([input]))[0], expected)
      await session.release()
    }
  })
})

it('knows the version of the native library', () => {
  assert.match(ortVersion, /^1\.\d+\.\d+/)
})
