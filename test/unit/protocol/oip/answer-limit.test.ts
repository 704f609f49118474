import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { AnswerLimit } from '../../../../src/protocol/oip/answer-limit.ts'
import { elementsToJson } from '../../../../src/protocol/oip/number-text.ts'

describe('AnswerLimit', () => {
  it('writes what fits as it would be written without it, whatever the number of pieces', () => {
    for (const length of [0, 1, 16_383, 16_384, 16_385, 40_000]) {
      const floats = Float32Array.from({ length }, (_, i) => i / 3)
      assert.equal(new AnswerLimit(1e7).elements('FP32', floats), elementsToJson('FP32', floats))
      const texts = Array.from(floats, (value) => `"${value}"`)
      assert.equal(new AnswerLimit(1e7).elements('BYTES', texts), elementsToJson('BYTES', texts))
    }
  })

  it('refuses before it writes what cannot fit, and while it writes what turns out not to', () => {
    refused(() => new AnswerLimit(100).elements('FP32', new Float32Array(51)))
    const thirds = new Float32Array(40_000).fill(1 / 3)
    refused(() => new AnswerLimit(200_000).elements('FP32', thirds))
    refused(() => new AnswerLimit(100).elements('BYTES', ['x'.repeat(200)]))
  })

  it('counts everything together', () => {
    const limit = new AnswerLimit(100)
    limit.count(60)
    limit.elements('INT32', Int32Array.of(1234567890, 1234567890))
    refused(() => limit.count(20))
  })
})

function refused(task: () => unknown): void {
  assert.throws(task, { code: 'BAD_INPUT_VALUE', message: /server\.maxAnswerBytes/ })
}
