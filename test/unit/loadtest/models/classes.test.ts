import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  CLASS_NAMES,
  largestDeviation,
  modelBytes,
  modelClass,
  type NamedTensor,
  Rng,
} from '../../../../loadtest/models/index.ts'
import { runModel } from '../../../support/models/run-model.ts'

/** Small samples: the evaluators are plain TypeScript. */
const SIZES = { tokens: 6, steps: 5, imageSize: 32 }

for (const name of CLASS_NAMES) {
  const zooClass = modelClass(name, SIZES)
  const batch = name === 'R' ? 1 : 2

  describe(`class ${name}`, () => {
    for (const family of zooClass.families) {
      it(`answers as its evaluator says, and not as another customer's, in family ${family}`, async () => {
        const recipe = { customer: 17, family, seed: 1 }
        const inputs = zooClass.sampleInputs(new Rng('inputs', name, family), batch)
        const actual = await runModel(modelBytes(zooClass.build(recipe)), inputs)
        const own = deviation(actual, zooClass.expected(recipe, inputs))
        assert.ok(own < zooClass.tolerance, `deviates by ${own} of its own answer`)
        if (name === 'R') return
        const other = deviation(actual, zooClass.expected({ ...recipe, customer: 18 }, inputs))
        assert.ok(other > 3 * zooClass.tolerance, `deviates by only ${other} from another customer's answer`)
      })
    }

    it('refuses a family that it does not have', () => {
      const missing = (['full', 'head', 'lora'] as const).find((family) => !zooClass.families.includes(family))
      if (missing === undefined) {
        assert.equal(name, 'M')
        return
      }
      assert.throws(() => zooClass.build({ customer: 1, family: missing, seed: 1 }), RangeError)
    })
  })
}

function deviation(actual: readonly NamedTensor[], expected: readonly NamedTensor[]): number {
  assert.deepEqual(
    actual.map(({ name, datatype, shape }) => ({ name, datatype, shape: [...shape] })),
    expected.map(({ name, datatype, shape }) => ({ name, datatype, shape: [...shape] })),
  )
  return Math.max(...expected.map(({ data }, i) => largestDeviation(floats(actual[i]?.data), floats(data))))
}

function floats(data: NamedTensor['data'] | undefined): Float32Array {
  assert.ok(data instanceof Float32Array)
  return data
}
