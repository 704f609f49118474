import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { compareVersions } from '../../../src/domain/version-order.ts'

const version = fc.stringMatching(/^[0-9]{1,18}$/)

describe('compareVersions', () => {
  it('orders by number, not by letters, also beyond what a double holds', () => {
    const versions = ['10', '9', '100', '2', '900719925474099301', '900719925474099300', '0']
    assert.deepEqual(versions.sort(compareVersions), [
      '0',
      '2',
      '9',
      '10',
      '100',
      '900719925474099300',
      '900719925474099301',
    ])
  })

  it('agrees with the order of big integers, and tells equal numbers apart by their zeros', () => {
    fc.assert(
      fc.property(version, version, (a, b) => {
        const order = Math.sign(compareVersions(a, b))
        const [left, right] = [BigInt(a), BigInt(b)]
        if (left !== right) assert.equal(order, left < right ? -1 : 1)
        else assert.equal(order, Math.sign(a.length - b.length))
      }),
    )
  })
})
