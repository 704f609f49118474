import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { nearNames } from '../../../src/lib/near-names.ts'

describe('nearNames', () => {
  const names = ['acme/churn', 'acme/fraud', 'beta/churn', 'gamma/churn-v2', 'gamma/churn-v3', 'x']

  it('finds a name behind a typing error, the nearest first', () => {
    assert.deepEqual(nearNames('acme/chrun', names), ['acme/churn'])
    assert.deepEqual(nearNames('gamma/churn-v4', names), ['gamma/churn-v2', 'gamma/churn-v3'])
  })

  it('finds names that go on where the asked one ends', () => {
    assert.deepEqual(nearNames('gamma/churn', names), ['gamma/churn-v2', 'gamma/churn-v3'])
  })

  it('is silent rather than silly', () => {
    assert.deepEqual(nearNames('zeta/translate', names), [])
    assert.deepEqual(nearNames('y', names), [])
    assert.deepEqual(nearNames('anything', []), [])
  })

  it('finds the one name that differs in one place among ten thousand that look like it', () => {
    const many = Array.from({ length: 10_000 }, (_, index) => `t${index % 100}/model-${index}`)
    assert.equal(nearNames('t99/mdoel-9899', many)[0], 't99/model-9899')
    assert.equal(nearNames('t99/model-9899x', many)[0], 't99/model-9899')
    assert.equal(nearNames('t99model-9899', many)[0], 't99/model-9899')
  })

  it('gives the nearest of all, as comparing each name in full would', () => {
    const word = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 6, maxLength: 9 })
    fc.assert(
      fc.property(word, fc.uniqueArray(word, { maxLength: 20 }), (name, all) => {
        const [first] = nearNames(name, all)
        const best = Math.min(...all.map((candidate) => wholeTable(name, candidate)))
        if (best <= 2) assert.equal(wholeTable(name, first ?? ''), best)
      }),
    )
  })

  it('gives no more than asked for', () => {
    const many = Array.from({ length: 100 }, (_, index) => `model-${index}`)
    assert.equal(nearNames('model-x', many).length, 3)
    assert.equal(nearNames('model-x', many, 1).length, 1)
  })
})

/** Optimal string alignment, the textbook way. */
function wholeTable(a: string, b: string): number {
  const table = Array.from({ length: a.length + 1 }, (_, row) =>
    Array.from({ length: b.length + 1 }, (_, column) => (row === 0 ? column : column === 0 ? row : 0)),
  )
  const at = (row: number, column: number) => table[row]?.[column] ?? 0
  for (let row = 1; row <= a.length; row++) {
    for (let column = 1; column <= b.length; column++) {
      const cost = a[row - 1] === b[column - 1] ? 0 : 1
      let best = Math.min(at(row - 1, column) + 1, at(row, column - 1) + 1, at(row - 1, column - 1) + cost)
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        best = Math.min(best, at(row - 2, column - 2) + 1)
      }
      const line = table[row]
      if (line !== undefined) line[column] = best
    }
  }
  return at(a.length, b.length)
}
