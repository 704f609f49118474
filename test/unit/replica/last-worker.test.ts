import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { ModelVersion } from '../../../src/domain/model-version.ts'
import { type GivenWorker, LastWorker } from '../../../src/replica/last-worker.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { type ReplicaScene, replicaScene } from '../../support/replica-scene.ts'

/** Two models of a tenant whose homes differ, and one of another tenant. */
async function crowd(scene: ReplicaScene): Promise<{ slow: ModelVersion; next: ModelVersion; other: ModelVersion }> {
  const names = Array.from({ length: 16 }, (_, i) => scene.model(`acme/m${i}`))
  const [slow] = names
  assert.ok(slow !== undefined)
  const next = names.find((model) => scene.home(model) !== scene.home(slow)) ?? assert.fail()
  const other = scene.model('globex/m')
  for (const model of [slow, next, other]) await scene.answered(model)
  return { slow, next, other }
}

describe('a tenant whose run never ends', () => {
  it('is not given the last worker without it, which goes on for others', async () => {
    const scene = replicaScene({ workers: 2 })
    const { slow, next, other } = await crowd(scene)
    scene.home(slow).runs.shut()
    const hanging = scene.ask(slow, { body: 'endless' })
    await scene.settle()
    await scene.clock.advance(100)
    const waiting = scene.ask(next, { body: 'perhaps as endless' })
    const served = scene.ask(other)
    await scene.settle()
    await scene.clock.advance(100)
    assert.deepEqual([hanging.state, waiting.state, served.state], ['pending', 'pending', 'hit'])
    scene.home(slow).runs.open()
    await scene.settle()
    await scene.clock.advance(20)
    assert.deepEqual([hanging.state, waiting.state], ['hit', 'hit'])
    await scene.end()
  })

  it('has its other models served where there are more workers', async () => {
    const scene = replicaScene({ workers: 3 })
    const { slow, next } = await crowd(scene)
    scene.home(slow).runs.shut()
    const hanging = scene.ask(slow, { body: 'endless' })
    await scene.settle()
    await scene.clock.advance(100)
    const served = scene.ask(next)
    await scene.settle()
    assert.deepEqual([hanging.state, served.state], ['pending', 'hit'])
    scene.home(slow).runs.open()
    await scene.settle()
    await scene.end()
  })
})

describe('the last worker free of a tenant', () => {
  const worker = (slot: string, tenants: readonly string[], overdueTenant?: string): GivenWorker => ({
    slot,
    overdueTenant,
    hasOf: (tenant) => tenants.includes(tenant),
  })
  const rule = (workers: readonly GivenWorker[]) => {
    const clock = new ManualClock()
    return { clock, last: new LastWorker(clock, { serving: () => workers, all: () => workers }) }
  }

  it('is anybody’s while no run is overdue', () => {
    const { last } = rule([worker('a', ['acme']), worker('b', [])])
    assert.ok(last.mayHave('globex', 'b') && last.mayHave('acme', 'b'))
  })

  it('is kept only from the one whose run is', () => {
    const { last } = rule([worker('a', ['acme'], 'acme'), worker('b', [])])
    assert.ok(last.mayHave('globex', 'b'))
    assert.ok(!last.mayHave('acme', 'b'))
  })

  it('is not kept from one who is alone, or has been for a minute', async () => {
    const { last, clock } = rule([worker('a', ['acme'], 'acme'), worker('b', [])])
    assert.ok(last.mayHave('acme', 'b'))
    last.mayHave('globex', 'b')
    assert.ok(!last.mayHave('acme', 'b'))
    await clock.advance(59_999)
    assert.ok(!last.mayHave('acme', 'b'))
    await clock.advance(1)
    assert.ok(last.mayHave('acme', 'b'))
  })
})
