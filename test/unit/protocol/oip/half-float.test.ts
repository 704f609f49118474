import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { halfBits, halfValue } from '../../../../src/protocol/oip/half-float.ts'

/** The engine of JavaScript itself, which knows halves since Node 24. */
function bitsByView(value: number): number {
  const view = new DataView(new ArrayBuffer(2))
  view.setFloat16(0, value)
  return view.getUint16(0)
}

describe('half precision', () => {
  it('gives every one of the 65,536 bit patterns its value and takes it back', () => {
    const view = new DataView(new ArrayBuffer(2))
    for (let bits = 0; bits < 65_536; bits++) {
      view.setUint16(0, bits)
      const value = halfValue(bits)
      assert.ok(Object.is(value, view.getFloat16(0)), `bits ${bits.toString(16)} read as ${value}`)
      if (!Number.isNaN(value)) assert.equal(halfBits(value), bits)
    }
  })

  it('rounds halfway cases between all neighbours to the even one', () => {
    for (let bits = 0; bits < 0x7bff; bits++) {
      const middle = (halfValue(bits) + halfValue(bits + 1)) / 2
      assert.equal(halfBits(middle), bits % 2 === 0 ? bits : bits + 1)
    }
  })

  it('rounds any double once, to the nearest half', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.double(), fc.double({ min: -70_000, max: 70_000 }), fc.double({ min: -1e-4, max: 1e-4 })),
        (value) => {
          if (!Number.isNaN(value)) assert.equal(halfBits(value), bitsByView(value))
        },
      ),
      { numRuns: 2000 },
    )
  })

  it('overflows to infinity from halfway beyond the largest half', () => {
    assert.equal(halfBits(65_519.999), 0x7bff)
    assert.equal(halfBits(65_520), 0x7c00)
    assert.equal(halfBits(Number.NEGATIVE_INFINITY), 0xfc00)
    assert.ok(Number.isNaN(halfValue(halfBits(Number.NaN))))
  })
})
