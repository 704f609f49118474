import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { DomainQuestion, WaitingDomain } from '../../../src/scheduler/domain-turn.ts'
import { domainTurn } from '../../../src/scheduler/domain-turn.ts'

function domain(name: string, since: number, workers = 0): WaitingDomain {
  return { name, since, workers }
}

function turn(question: Partial<DomainQuestion>) {
  return domainTurn({
    own: 'mine',
    hasOwnWork: false,
    isIdle: true,
    waiting: [],
    now: 1000,
    starvationMs: 500,
    ...question,
  })
}

describe('the turn at a worker of one trust domain', () => {
  it('is its own while it has work and nobody starves', () => {
    const waiting = [domain('b', 501), domain('mine', 900, 1)]
    assert.deepEqual(turn({ hasOwnWork: true, waiting }), { do: 'serve', domain: 'mine' })
  })

  it('is that of one who waited without any worker for too long: at once when idle, else after what was given', () => {
    const waiting = [domain('served', 0, 1), domain('b', 500)]
    assert.deepEqual(turn({ hasOwnWork: true, waiting }), { do: 'rebind', domain: 'b' })
    assert.deepEqual(turn({ hasOwnWork: true, waiting, isIdle: false }), { do: 'drain', domain: 'b' })
  })

  it('without own work is at once that of one without a worker, the longest wait first', () => {
    assert.deepEqual(turn({ waiting: [domain('served', 0, 1), domain('b', 998), domain('c', 999)] }), {
      do: 'rebind',
      domain: 'b',
    })
    assert.deepEqual(turn({ waiting: [domain('b', 998)], isIdle: false }), { do: 'nothing' })
  })

  it('without own work helps one whose workers are all busy, but not for a moment of waiting', () => {
    assert.deepEqual(turn({ waiting: [domain('b', 950, 1)] }), { do: 'nothing' })
    assert.deepEqual(turn({ waiting: [domain('b', 900, 1)] }), { do: 'rebind', domain: 'b' })
  })

  it('of a fresh process is that of the one with the fewest workers', () => {
    const waiting = [domain('two', 0, 2), domain('one', 1, 1), domain('uno', 2, 1)]
    assert.deepEqual(turn({ own: undefined, waiting }), { do: 'serve', domain: 'one' })
    assert.deepEqual(turn({ own: undefined }), { do: 'nothing' })
  })

  it('is decided by looking at no more domains than have workers, and one', () => {
    let looks = 0
    function* waiting() {
      for (let i = 0; i < 10_000; i++) {
        looks++
        yield domain(`d${i}`, i, i < 2 ? 1 : 0)
      }
    }
    turn({ waiting: waiting(), hasOwnWork: true })
    assert.equal(looks, 3)
  })
})
