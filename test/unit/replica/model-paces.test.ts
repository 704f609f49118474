import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Ledger } from '../../../src/cache/ledger.ts'
import { MappingBudget } from '../../../src/cache/mapping-budget.ts'
import { PlacementTable } from '../../../src/cache/placement-table.ts'
import { ModelPaces } from '../../../src/replica/model-paces.ts'
import { demandOf, newResident } from '../../../src/replica/residents.ts'
import { Estimates } from '../../../src/scheduler/estimates.ts'
import { manifest } from '../../support/manifest.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { modelVersion } from '../../support/model-version.ts'

/** A small model that is resident and may be open in several workers. */
function scene() {
  const clock = new ManualClock()
  const ledger = new Ledger(1e9)
  const ignore = (): void => {}
  const mappings = new MappingBudget(1000)
  const placements = new PlacementTable({ clock, ledger, mappings, publish: ignore, onBytesChanged: ignore })
  const version = modelVersion('acme/churn')
  const resident = newResident(version, manifest('a'), ignore)
  const residents = new Map([[version.key, resident]])
  ledger.request(version.key, demandOf(resident.manifest))
  ledger.grant(version.key)
  ledger.settle(version.key, demandOf(resident.manifest))
  const paces = new ModelPaces({ clock, ledger, placements, residents, estimates: new Estimates(100) })
  const open = (workerId: string) => {
    const placement = placements.begin({
      key: version.key,
      workerId,
      isPacked: false,
      privateBytes: 1000,
      mappings: 1,
    })
    return 'lacks' in placement ? assert.fail() : placement.id
  }
  return { clock, placements, paces, open, key: version.key }
}

describe('the home of a model that found no room in one more worker', () => {
  it('is for a while where it is open, and then again where the hash says', async () => {
    const { clock, paces, open, key } = scene()
    open('w1')
    assert.equal(paces.fixedHome(key), undefined)
    paces.keepHome(key)
    assert.equal(paces.fixedHome(key), 'w1')
    assert.equal(paces.stealCost(key, 'w0').openMs, Number.POSITIVE_INFINITY)
    await clock.advance(1000)
    assert.equal(paces.fixedHome(key), undefined)
    assert.ok(Number.isFinite(paces.stealCost(key, 'w0').openMs))
  })

  it('is not where its session is being closed, if there is another', () => {
    const { placements, paces, open, key } = scene()
    const first = open('w0')
    open('w1')
    placements.closing(first)
    paces.keepHome(key)
    assert.equal(paces.fixedHome(key), 'w1')
  })

  it('is where the hash says while it is open nowhere', () => {
    const { paces, key } = scene()
    paces.keepHome(key)
    assert.equal(paces.fixedHome(key), undefined)
  })
})
