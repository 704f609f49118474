import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { RetryBudget } from '../../../src/lib/retry-budget.ts'

function takeAll(budget: RetryBudget): number {
  let taken = 0
  while (budget.take()) taken++
  return taken
}

describe('a retry budget', () => {
  it('lets a client that has made no calls yet repeat a few, and no more', () => {
    assert.equal(takeAll(new RetryBudget({ perCall: 0.1, most: 5 })), 5)
  })

  it('earns a repeat with enough calls', () => {
    const budget = new RetryBudget({ perCall: 0.125, most: 5 })
    takeAll(budget)
    for (let calls = 0; calls < 7; calls++) budget.noteCall()
    assert.equal(budget.take(), false)
    budget.noteCall()
    assert.deepEqual([budget.take(), budget.take()], [true, false])
  })

  it('saves up no more than it may', () => {
    const budget = new RetryBudget({ perCall: 1, most: 3 })
    for (let calls = 0; calls < 100; calls++) budget.noteCall()
    assert.equal(takeAll(budget), 3)
  })
})
