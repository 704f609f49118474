import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Demand } from '../../../src/cache/ledger.ts'
import { Ledger } from '../../../src/cache/ledger.ts'

const BACKBONE = { digest: 'backbone', bytes: 100 }

function model(head: string, privateBytes = 5, activationBytes = 2): Demand {
  return { privateBytes, activationBytes, blobs: [BACKBONE, { digest: head, bytes: 10 }] }
}

function admit(ledger: Ledger, key: string, demand: Demand): void {
  assert.equal(ledger.request(key, demand), 0)
  assert.equal(ledger.grant(key), true)
  ledger.settle(key, demand)
}

describe('the ledger', () => {
  it('charges a shared blob once, whoever holds it', () => {
    const ledger = new Ledger(1000)
    admit(ledger, 'a', model('a'))
    assert.equal(ledger.usedBytes, 117)
    admit(ledger, 'b', model('b'))
    assert.equal(ledger.usedBytes, 134)
    assert.deepEqual(ledger.snapshot(), {
      private: 10,
      blobs: 120,
      activations: 4,
      reserved: 0,
      leaving: 0,
      awaited: 0,
    })
  })

  it('counts a shared blob in the gain of the last holder only', () => {
    const ledger = new Ledger(1000)
    admit(ledger, 'a', model('a'))
    admit(ledger, 'b', model('b'))
    assert.equal(ledger.gain('a'), 17)
    const gains = ledger.gains()
    gains.add('a')
    gains.add('b')
    assert.equal(gains.bytes, 134)
    gains.remove('a')
    assert.equal(gains.bytes, 17)
  })

  it('does not count a blob as gained that a load under way wants', () => {
    const ledger = new Ledger(200)
    admit(ledger, 'a', model('a'))
    ledger.request('b', model('b'))
    assert.equal(ledger.gain('a'), 17)
  })

  it('keeps a reservation apart from what is resident until it is settled to the measured bytes', () => {
    const ledger = new Ledger(1000)
    ledger.request('a', { privateBytes: 300, activationBytes: 0, blobs: [] })
    assert.equal(ledger.usedBytes, 0)
    assert.equal(ledger.snapshot().awaited, 300)
    ledger.grant('a')
    assert.equal(ledger.snapshot().reserved, 300)
    ledger.settle('a', model('a'))
    assert.equal(ledger.snapshot().reserved, 0)
    assert.equal(ledger.usedBytes, 117)
  })

  it('says how much must go for a demand that does not fit, and grants it only when it fits', () => {
    const ledger = new Ledger(155)
    admit(ledger, 'a', model('a'))
    const other = { privateBytes: 40, activationBytes: 0, blobs: [] }
    assert.equal(ledger.request('b', other), 2)
    assert.equal(ledger.grant('b'), false)
    ledger.leave('a')
    assert.equal(ledger.excessBytes, 0)
    assert.equal(ledger.grant('b'), true, 'the bytes promised to a placement that was never open are back at once')
    assert.equal(ledger.snapshot().leaving, 112)
    ledger.free('a')
    assert.equal(ledger.usedBytes, 40)
  })

  it('counts what leaves until its close has completed, placement by placement', () => {
    const ledger = new Ledger(1000)
    admit(ledger, 'a', model('a'))
    ledger.addPlacement('a', 1, 5)
    ledger.addPlacement('a', 2, 7)
    ledger.leave('a')
    assert.equal(ledger.snapshot().leaving, 124)
    ledger.removePlacement('a', 1)
    assert.equal(ledger.snapshot().leaving, 119)
    ledger.removePlacement('a', 2)
    ledger.free('a')
    assert.equal(ledger.usedBytes, 0)
  })

  it('keeps room for the first placement, so that a dead worker costs no reservation', () => {
    const ledger = new Ledger(117)
    admit(ledger, 'a', model('a'))
    assert.equal(ledger.addPlacement('a', 1, 5), 0)
    ledger.removePlacement('a', 1)
    assert.equal(ledger.usedBytes, 117)
    assert.equal(ledger.addPlacement('a', 2, 5), 0)
  })

  it('charges nothing for a second placement that does not fit and says what is missing', () => {
    const ledger = new Ledger(120)
    admit(ledger, 'a', model('a'))
    ledger.addPlacement('a', 1, 5)
    assert.equal(ledger.addPlacement('a', 2, 5), 2)
    assert.equal(ledger.usedBytes, 117)
  })

  it('never charges more for a placement that ended', () => {
    const ledger = new Ledger(1000)
    admit(ledger, 'a', model('a'))
    ledger.addPlacement('a', 1, 5)
    ledger.measurePlacement('a', 1, 50)
    ledger.addPlacement('a', 2, 3)
    ledger.removePlacement('a', 1)
    assert.equal(ledger.snapshot().private, 3)
    ledger.removePlacement('a', 2)
    assert.equal(ledger.snapshot().private, 3)
  })

  it('charges a placement of what leaves, for whoever has a lease of it still, as far as there is room', () => {
    const ledger = new Ledger(120)
    admit(ledger, 'a', model('a'))
    ledger.leave('a')
    assert.equal(ledger.usedBytes, 112, 'the promise of a first placement has ended')
    assert.equal(ledger.addPlacement('a', 1, 5), 0)
    assert.equal(ledger.usedBytes, 117)
    assert.equal(ledger.addPlacement('a', 2, 5), 2)
    ledger.removePlacement('a', 1)
    ledger.free('a')
    assert.equal(ledger.usedBytes, 0)
  })

  it('charges a blob to a load that takes it over from one that leaves', () => {
    const ledger = new Ledger(1000)
    admit(ledger, 'a', model('a'))
    ledger.leave('a')
    ledger.request('b', model('b'))
    ledger.grant('b')
    assert.equal(ledger.snapshot().leaving, 2 + 10)
    ledger.free('a')
    assert.equal(ledger.usedBytes, 117)
  })

  it('explains a demand with every term of the sum', () => {
    const ledger = new Ledger(1000)
    admit(ledger, 'a', model('a'))
    const text = ledger.explain(model('b'))
    assert.match(
      text,
      /it needs 17 B \(private 5 B \+ activations 2 B \+ tensors 110 B, of which 100 B are in memory\)/,
    )
    assert.match(text, /117 B of 1000 B are used \(private 5 B \+ tensors 110 B \+ activations 2 B \+ reserved 0 B/)
  })

  it('refuses moves that would lose bytes', () => {
    const ledger = new Ledger(1000)
    admit(ledger, 'a', model('a'))
    assert.throws(() => ledger.request('a', model('a')), /a is resident/)
    assert.throws(() => ledger.settle('a', model('a')), /a is not reserved but resident/)
    assert.throws(() => ledger.leave('b'), /b is not resident but unknown/)
    assert.throws(() => ledger.removePlacement('a', 1), /no placement 1/)
  })
})
