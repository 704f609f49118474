import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Ledger } from '../../../src/cache/ledger.ts'
import { MappingBudget } from '../../../src/cache/mapping-budget.ts'
import type { Placement, PlacementMove } from '../../../src/cache/placement.ts'
import type { PlacementShortfall } from '../../../src/cache/placement-table.ts'
import { PlacementTable } from '../../../src/cache/placement-table.ts'
import { ManualClock } from '../../support/manual-clock.ts'

function bench({ budgetBytes = 1000, mappingLimit = 100 } = {}) {
  const ledger = new Ledger(budgetBytes)
  const mappings = new MappingBudget(mappingLimit)
  const moves: PlacementMove[] = []
  let changes = 0
  const placements = new PlacementTable({
    clock: new ManualClock(),
    ledger,
    mappings,
    publish: (move) => moves.push(move),
    onBytesChanged: () => changes++,
  })
  for (const key of ['a', 'b']) {
    const demand = { privateBytes: 10, activationBytes: 0, blobs: [] }
    ledger.request(key, demand)
    ledger.grant(key)
    ledger.settle(key, demand)
  }
  const begin = (key: string, workerId: string) =>
    placements.begin({ key, workerId, isPacked: false, privateBytes: 10, mappings: 40 })
  const place = (key: string, workerId: string): Placement => isPlacement(begin(key, workerId))
  return { ledger, mappings, moves, placements, begin, place, changes: () => changes }
}

function isPlacement(placed: Placement | PlacementShortfall): Placement {
  if ('lacks' in placed) assert.fail(`lacks ${placed.missing} ${placed.lacks}`)
  return placed
}

describe('a placement table', () => {
  it('charges an estimate before the open and the measured cost after it', () => {
    const { ledger, mappings, placements, place, changes } = bench()
    const { id } = place('a', 'w0')
    assert.equal(mappings.usedBy('w0'), 40)
    placements.opened(id, { privateBytes: 25, mappings: 30 })
    assert.equal(ledger.snapshot().private, 35)
    assert.equal(mappings.usedBy('w0'), 30)
    assert.equal(placements.get(id)?.status.s, 'open')
    assert.equal(changes(), 1)
  })

  it('says what a second placement lacks, and charges nothing then', () => {
    const { ledger, mappings, begin, place } = bench({ budgetBytes: 25 })
    place('a', 'w0')
    assert.deepEqual(begin('a', 'w1'), { lacks: 'bytes', missing: 5 })
    assert.equal(ledger.usedBytes, 20)
    assert.equal(mappings.usedBy('w1'), 0)
  })

  it('holds each worker to its own budget of mappings, and names what to close for more', () => {
    const { mappings, placements, begin, place } = bench({ mappingLimit: 70 })
    const { id } = place('a', 'w0')
    assert.deepEqual(begin('b', 'w0'), { lacks: 'mappings', missing: 10 })
    assert.equal(
      placements.chooseForMappings('w0', 10, () => true),
      undefined,
      'nothing is open yet',
    )
    placements.opened(id, { privateBytes: 10, mappings: 40 })
    assert.equal(
      placements.chooseForMappings('w0', 10, () => false),
      undefined,
    )
    assert.deepEqual(
      placements.chooseForMappings('w0', 10, () => true)?.map(({ key }) => key),
      ['a'],
    )
    place('b', 'w1')
    assert.equal(mappings.freeOf('w1'), 30)
  })

  it('closes the least recently used of a worker first', () => {
    const { placements, place } = bench()
    const [a, b] = [place('a', 'w0'), place('b', 'w0')]
    for (const { id } of [a, b]) placements.opened(id, { privateBytes: 10, mappings: 40 })
    placements.used(a, 1)
    assert.deepEqual(
      placements.chooseForMappings('w0', 1, () => true)?.map(({ key }) => key),
      ['b'],
    )
    assert.equal(a.runsSinceOpen, 1)
  })

  it('loses the placements of a dead worker, in whatever state, and nothing else', () => {
    const { ledger, mappings, moves, placements, place } = bench()
    const opening = place('a', 'w0')
    const closing = place('b', 'w0')
    placements.opened(closing.id, { privateBytes: 10, mappings: 40 })
    placements.closing(closing.id)
    place('a', 'w1')
    assert.deepEqual(
      placements.workerDown('w0', 'killed').map(({ id }) => id),
      [opening.id, closing.id],
    )
    assert.equal(placements.size, 1)
    assert.equal(placements.countOf('a'), 1)
    assert.equal(mappings.usedBy('w0'), 0)
    assert.equal(ledger.snapshot().private, 20)
    assert.deepEqual(moves.at(-1), { key: 'b', from: 'closing', to: 'gone', at: 0, reason: 'killed' })
    placements.opened(opening.id, { privateBytes: 99, mappings: 1 })
    assert.equal(ledger.snapshot().private, 20, 'a report that comes too late changes nothing')
  })

  it('makes one placement of a key in a worker at most, and ends each once', () => {
    const { placements, begin, place } = bench()
    const { id } = place('a', 'w0')
    assert.throws(() => begin('a', 'w0'), /has a placement in worker w0/)
    placements.gone(id)
    placements.gone(id)
    placements.closing(id)
    assert.equal(placements.find('a', 'w0'), undefined)
    assert.notEqual(place('a', 'w0').id, id)
  })
})
