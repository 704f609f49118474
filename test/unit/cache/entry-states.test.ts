import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { EntryMove, EntryState, EntryStatus } from '../../../src/cache/entry.ts'
import { ENTRY_NEXT, entryMachine, newEntry } from '../../../src/cache/entry.ts'
import type { Placement, PlacementState } from '../../../src/cache/placement.ts'
import { PLACEMENT_NEXT, placementMachine } from '../../../src/cache/placement.ts'
import { GatewayError } from '../../../src/domain/errors.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const residency = { readyAt: 0, past: { since: 0, uses: 0 }, loadMs: 0, leases: 0, uses: 0, lastUsedAt: 0 }

function status(s: EntryState): EntryStatus {
  if (s === 'ready' || s === 'draining') return { s, residency }
  if (s === 'failed') return { s, error: new GatewayError('INTERNAL', 'broken'), retryAt: 0 }
  return { s }
}

function placement(s: PlacementState): Placement {
  return {
    id: 1,
    key: 'a',
    workerId: 'w0',
    isPacked: false,
    privateBytes: 0,
    mappings: 0,
    runsSinceOpen: 0,
    since: 0,
    status: { s },
  }
}

const entryStates = Object.keys(ENTRY_NEXT) as EntryState[]
const placementStates = Object.keys(PLACEMENT_NEXT) as PlacementState[]

describe('the states of an entry', () => {
  for (const from of entryStates) {
    for (const to of entryStates) {
      const isLegal = (ENTRY_NEXT[from] as readonly EntryState[]).includes(to)
      it(`${isLegal ? 'go' : 'do not go'} from ${from} to ${to}`, () => {
        const clock = new ManualClock({ now: 5 })
        const moves: EntryMove[] = []
        const entry = { ...newEntry('a', 1, 0), status: status(from) }
        const move = () => entryMachine(clock, (event) => moves.push(event)).transition(entry, status(to), 'why')
        if (!isLegal) {
          assert.throws(move, new RegExp(`entry a cannot go from ${from} to ${to}`))
          assert.equal(entry.status.s, from)
          assert.deepEqual(moves, [])
          return
        }
        move()
        assert.equal(entry.status.s, to)
        assert.equal(entry.since, 5)
        assert.deepEqual(moves, [{ key: 'a', from, to, at: 5, reason: 'why' }])
      })
    }
  }

  it('leads to failed from everywhere but gone', () => {
    for (const from of entryStates) {
      const next: readonly EntryState[] = ENTRY_NEXT[from]
      assert.equal(next.includes('failed'), from !== 'gone' && from !== 'failed', from)
    }
  })

  it('is published as ready once it is, and as draining while it is not yet', () => {
    const seen: string[] = []
    const entry = { ...newEntry('a', 1, 0), status: status('paging') }
    const machine = entryMachine(new ManualClock(), ({ to }) => seen.push(`${to} while ${entry.status.s}`))
    machine.transition(entry, status('ready'))
    machine.transition(entry, status('draining'))
    assert.deepEqual(seen, ['ready while ready', 'draining while ready'])
  })
})

describe('the states of a placement', () => {
  for (const from of placementStates) {
    for (const to of placementStates) {
      const isLegal = (PLACEMENT_NEXT[from] as readonly PlacementState[]).includes(to)
      it(`${isLegal ? 'go' : 'do not go'} from ${from} to ${to}`, () => {
        const subject = placement(from)
        const move = () => placementMachine(new ManualClock(), () => undefined).transition(subject, { s: to })
        if (isLegal) move()
        else assert.throws(move, new RegExp(`placement a cannot go from ${from} to ${to}`))
        assert.equal(subject.status.s, isLegal ? to : from)
      })
    }
  }
})
