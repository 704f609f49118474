import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ReceiveBudget } from '../../../src/http/read-body.ts'

const MIB = 2 ** 20

describe('ReceiveBudget', () => {
  it('lets a body that is alone grow as its own limit allows', () => {
    const budget = new ReceiveBudget(MIB)
    assert.equal(budget.take(MIB, 0), true)
    assert.equal(budget.take(MIB, MIB), true)
    assert.equal(budget.used, 2 * MIB)
  })

  it('gives a large body no more than what it leaves to others', () => {
    const budget = new ReceiveBudget(100 * MIB)
    assert.equal(budget.take(MIB, 0), true)
    assert.equal(budget.take(40 * MIB, 0), true)
    // 49 MiB are left beside the tenth for small bodies.
    assert.equal(budget.take(10 * MIB, 40 * MIB), false)
    assert.equal(budget.used, 41 * MIB)
  })

  it('keeps a tenth for small bodies, until the budget is spent', () => {
    const budget = new ReceiveBudget(10 * MIB)
    budget.hold(9 * MIB)
    assert.equal(budget.take(65 * 1024, 0), false)
    for (let i = 0; i < 16; i++) assert.equal(budget.take(64 * 1024, 0), true)
    assert.equal(budget.take(1, 0), false)
    budget.give(64 * 1024)
    assert.equal(budget.take(1, 0), true)
  })
})
