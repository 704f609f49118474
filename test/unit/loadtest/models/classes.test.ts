import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { float32Values, largestDeviation, modelBytes, modelClass, Rng } from '../../../../loadtest/models/index.ts'
import { runModel } from '../../../support/models/run-model.ts'

for (const name of ['XS', 'S', 'M', 'Q'] as const) {
  describe(`class ${name}`, () => {
    const zooClass = modelClass(name)
    for (const family of zooClass.families) {
      it(`answers as its evaluator says, family ${family}`, async () => {
        const recipe = { customer: 17, family, seed: 1 }
        const inputs = zooClass.sampleInputs(new Rng('inputs', name, family), 3)
        const actual = await runModel(modelBytes(zooClass.build(recipe)), inputs)
        const expected = zooClass.expected(recipe, inputs)
        const [output] = expected
        assert.ok(output)
        const deviation = largestDeviation(float32Values(actual, output.name), float32Values(expected, output.name))
        console.log(name, family, deviation)
        assert.ok(deviation < zooClass.tolerance, `deviation ${deviation}`)
      })
    }
  })
}
