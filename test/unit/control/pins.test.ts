import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Pins } from '../../../src/control/pins.ts'
import { GatewayError } from '../../../src/domain/errors.ts'
import type { ModelRef } from '../../../src/domain/model-ref.ts'
import type { ModelVersion } from '../../../src/domain/model-version.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { modelVersion } from '../../support/model-version.ts'

const ONE = modelVersion('acme/churn', '1')
const TWO = modelVersion('acme/churn', '2')

function scene(refs: readonly ModelRef[] = [{ name: 'acme/churn' }]) {
  const state = { latest: ONE, broken: new Set<string>(), held: [] as string[], events: [] as string[] }
  const clock = new ManualClock()
  const pins = new Pins({
    refs,
    resolve: ({ alias }) => (alias === 'stays' ? ONE : state.latest),
    pin: async (version: ModelVersion) => {
      if (state.broken.has(version.key)) throw new GatewayError('ARTIFACT_INVALID', 'not ONNX')
      state.held.push(version.key)
    },
    unpin: (key) => state.held.splice(state.held.indexOf(key), 1),
    retry: { baseMs: 1000, maxMs: 60_000 },
    clock,
    random: () => 0.5,
    onEvent: (name) => state.events.push(name),
  })
  return { state, clock, pins }
}

describe('pins', () => {
  it('hold what the ref means, and follow it when it moves', async () => {
    const { state, clock, pins } = scene()
    pins.refresh()
    await clock.advance(0)
    assert.deepEqual(state.held, [ONE.key])
    state.latest = TWO
    pins.refresh()
    await clock.advance(0)
    assert.deepEqual(state.held, [TWO.key])
  })

  it('keep the old key while the new one cannot be loaded, and try again with back-off', async () => {
    const { state, clock, pins } = scene()
    pins.refresh()
    await clock.advance(0)
    state.latest = TWO
    state.broken.add(TWO.key)
    pins.refresh()
    await clock.advance(0)
    assert.deepEqual(state.held, [ONE.key])
    assert.deepEqual(state.events, ['pin.held', 'pin.failed'])
    state.broken.clear()
    await clock.advance(1000)
    assert.deepEqual(state.held, [TWO.key])
  })

  it('look again when the ref moved while it was being loaded', async () => {
    const { state, clock, pins } = scene()
    pins.refresh()
    state.latest = TWO
    pins.refresh()
    await clock.advance(0)
    assert.deepEqual(state.held, [TWO.key])
  })

  it('do not let a key go that another pin still means', async () => {
    const { state, clock, pins } = scene([{ name: 'acme/churn' }, { name: 'acme/churn', alias: 'stays' }])
    pins.refresh()
    await clock.advance(0)
    state.latest = TWO
    pins.refresh()
    await clock.advance(0)
    assert.ok(state.held.includes(ONE.key))
    assert.ok(state.held.includes(TWO.key))
  })

  it('set no timer after they were closed', async () => {
    const { state, clock, pins } = scene()
    state.broken.add(ONE.key)
    pins.refresh()
    await clock.advance(0)
    pins.close()
    assert.equal(clock.pendingTimers, 0)
  })
})
