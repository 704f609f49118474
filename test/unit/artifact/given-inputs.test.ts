import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { decodeGiven } from '../../../src/artifact/given-inputs.ts'
import type { Signature } from '../../../src/domain/tensor-types.ts'

const SIGNATURE: Signature = { inputs: [{ name: 'x', datatype: 'FP32', shape: ['N', 2] }], outputs: [] }

describe('inputs that were given', () => {
  it('are those of requests and of examples, in their order; what fits no input is passed over', () => {
    const request = { inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: [1, 2] }] }
    const warmUp = [request, { inputs: [[3, 4]] }, { inputs: { y: [1] } }, { inputs: [[1, 2, 3]] }, 'nonsense']
    const given = decodeGiven({ warmUp }, SIGNATURE)
    assert.deepEqual(
      given.map(([tensor]) => [...((tensor?.data ?? []) as Iterable<number>)]),
      [
        [1, 2],
        [3, 4],
      ],
    )
  })
})
