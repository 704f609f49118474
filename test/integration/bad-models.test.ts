import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { modelBytes, modelClass, Rng } from '../../loadtest/models/index.ts'
import {
  addOne,
  constantOfShapeBomb,
  ESCAPING_LOCATIONS,
  epContext,
  externalAt,
  overflowingDims,
  truncated,
  unknownDomain,
  unknownOperator,
  wrongRawLength,
} from '../../loadtest/models/special/index.ts'
import { assertOutputs, assertRefused, infer } from '../support/infer-client.ts'
import { ModelsFolder } from '../support/models-folder.ts'
import { ServerProcess } from '../support/server-process.ts'

const rng = new Rng('bad models')

let models: ModelsFolder
let server: ServerProcess

before(async () => {
  models = await ModelsFolder.make()
  await models.write('acme/churn', '7', addOne().model)
  await models.write('bad/bomb', '1', constantOfShapeBomb())
  for (const [name, bytes] of BAD_FILES) await models.writeFile(`bad/${name}`, '1', 'model.onnx', bytes())
  server = await ServerProcess.start({
    models: models.dir,
    args: ['--workers', '2'],
    config: { store: { settleMs: 0 } },
  })
  await server.logs('registry.scanned')
})

after(async () => {
  await server.stop()
  await models.removeAll()
})

/** Files that are no models, each with what the answer has to tell. */
const BAD_FILES: readonly (readonly [name: string, bytes: () => Uint8Array, tells: RegExp])[] = [
  ['not-onnx', () => Buffer.from('this is a text, and no model at all'), /./],
  ['empty', () => new Uint8Array(0), /./],
  ['png', () => Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex'), /./],
  ['half', () => truncated(xsBytes()), /./],
  ['almost', () => truncated(xsBytes(), 0.999), /./],
  ['missing-data', () => modelBytes(externalAt('absent.bin')), /absent\.bin/],
  ...ESCAPING_LOCATIONS.map(
    (location, i) =>
      [`escaping-${i}`, () => modelBytes(externalAt(location)), /external|outside|location|leaves/i] as const,
  ),
  ['escaping-constant', () => modelBytes(externalAt('../outside.bin', 'constant')), /outside\.bin/],
  ['escaping-branch', () => modelBytes(externalAt('../outside.bin', 'branch')), /outside\.bin/],
  ['unknown-domain', () => modelBytes(unknownDomain()), /acme\.custom/],
  ['unknown-operator', () => modelBytes(unknownOperator()), /NotAnOperator/],
  ['ep-context', () => modelBytes(epContext()), /EPContext/],
  ['wrong-length', () => modelBytes(wrongRawLength()), /'w'/],
  ['overflowing', () => modelBytes(overflowingDims()), /'w'/],
]

describe('bad model files', () => {
  for (const [name, , tells] of BAD_FILES) {
    it(`are refused with 422, before and after a retry: ${name}`, async () => {
      for (let i = 0; i < 2; i++) {
        const answer = await infer(server.client, `bad/${name}`, addOne().inputs(rng, 1))
        assertRefused(answer, 422, 'ARTIFACT_INVALID', tells)
        assert.deepEqual([answer.json.model, answer.json.version], [`bad/${name}`, '1'])
        assert.equal(answer.headers['retry-after'], undefined)
      }
      await stillServes()
    })
  }

  it('that ask for a gigabyte are stopped, and nobody else notices', async () => {
    const x = { name: 'x', datatype: 'FP32', shape: [1, 1], data: Float32Array.of(1) } as const
    const [answer] = await Promise.all([infer(server.client, 'bad/bomb', [x]), stillServes()])
    assertRefused(answer, 422, 'ARTIFACT_INVALID', /./)
    await stillServes()
  })

  it('are told of in the index, once they were tried', async () => {
    const rows = JSON.parse((await server.client.post('/v2/repository/index')).text) as Record<string, string>[]
    const row = rows.find(({ name }) => name === 'bad/half')
    assert.equal(row?.state, 'UNAVAILABLE')
    assert.match(String(row?.reason), /^ARTIFACT_INVALID: /)
    const ready = await server.client.get('/v2/models/bad/half/ready')
    assert.equal(ready.status, 503)
    assert.match(String(ready.json.error), /ARTIFACT_INVALID/)
  })
})

function xsBytes(): Uint8Array {
  return modelBytes(modelClass('XS').build({ customer: 1, family: 'full', seed: 1 }))
}

async function stillServes(): Promise<void> {
  const inputs = addOne().inputs(rng, 1)
  assertOutputs(await infer(server.client, 'acme/churn', inputs), addOne().expected(inputs))
}
