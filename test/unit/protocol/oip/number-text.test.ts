import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { elementsToJson, stringText } from '../../../../src/protocol/oip/number-text.ts'

function text(...values: number[]): string {
  return elementsToJson('FP32', Float32Array.from(values))
}

describe('elements as JSON', () => {
  it('writes float32 with few digits', () => {
    assert.equal(text(0.1, 1 / 3, 16_777_216, 1e-7, 3, -2.5), '0.1,0.33333334,16777216,1e-7,3,-2.5')
  })

  it('reads every float32 back bit by bit', () => {
    const bits = new Uint32Array(1)
    const float = new Float32Array(bits.buffer)
    fc.assert(
      fc.property(fc.oneof(fc.nat(0xffffffff), fc.integer({ min: 0x33000000, max: 0x4d000000 })), (pattern) => {
        bits[0] = pattern
        const value = float[0] ?? 0
        if (Number.isFinite(value))
          assert.ok(Object.is(Math.fround(JSON.parse(text(value)) as number), value), `${value}`)
      }),
      { numRuns: 20_000 },
    )
  })

  it('reads float32 at powers of two and ten and their neighbours back', () => {
    const bits = new Uint32Array(1)
    const float = new Float32Array(bits.buffer)
    for (let exponent = -149; exponent < 128; exponent++) {
      for (const near of [2 ** exponent, 10 ** Math.trunc(exponent / 3.33)]) {
        float[0] = near
        const center = bits[0] ?? 0
        for (const step of [-1, 0, 1]) {
          bits[0] = center + step
          assert.equal(Math.fround(JSON.parse(text(float[0])) as number), float[0])
        }
      }
    }
  })

  it('keeps the sign of zero', () => {
    assert.equal(text(-0, 0), '-0,0')
    assert.equal(elementsToJson('FP64', Float64Array.of(-0, 0)), '-0,0')
  })

  it('writes NaN and infinities as bare words', () => {
    const words = 'NaN,Infinity,-Infinity'
    const values = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
    assert.equal(text(...values), words)
    assert.equal(elementsToJson('FP64', Float64Array.from(values)), words)
    assert.equal(elementsToJson('FP16', Uint16Array.of(0x7e00, 0x7c00, 0xfc00)), words)
  })

  it('writes FP64 and 64-bit integers without loss', () => {
    assert.equal(elementsToJson('FP64', Float64Array.of(0.1 + 0.2, 5e-324)), '0.30000000000000004,5e-324')
    assert.equal(
      elementsToJson('INT64', BigInt64Array.of(-(2n ** 63n), 9_007_199_254_740_993n)),
      '-9223372036854775808,9007199254740993',
    )
    assert.equal(elementsToJson('UINT64', BigUint64Array.of(2n ** 64n - 1n)), '18446744073709551615')
  })

  it('writes booleans as words, halves as numbers, strings as JSON strings', () => {
    assert.equal(elementsToJson('BOOL', Uint8Array.of(1, 0)), 'true,false')
    assert.equal(elementsToJson('FP16', Uint16Array.of(0x3c00, 0x2e66)), '1,0.099975586')
    assert.equal(elementsToJson('BYTES', ['a', 'b"\\\n', 'é🙂']), '"a","b\\"\\\\\\n","é🙂"')
  })

  it('escapes any string so that JSON reads it back', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (value) => {
        assert.equal(JSON.parse(stringText(value)), value)
      }),
    )
  })
})
