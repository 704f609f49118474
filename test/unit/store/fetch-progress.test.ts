import assert from 'node:assert/strict'
import { it } from 'node:test'
import { ProgressMeter } from '../../../src/store/fetch-progress.ts'
import { ManualClock } from '../../support/manual-clock.ts'

it('tells the pace of the last seconds and how long the rest takes at it', async () => {
  const clock = new ManualClock()
  const meter = new ProgressMeter(10_000, clock)
  assert.deepEqual(meter.read(), { bytesDone: 0, bytes: 10_000, bytesPerSecond: 0 })
  for (let second = 0; second < 10; second++) {
    await clock.advance(1000)
    meter.add(second < 4 ? 100 : 500)
  }
  assert.deepEqual(meter.read(), { bytesDone: 3400, bytes: 10_000, bytesPerSecond: 500, etaMs: 13_200 })
})

it('knows nothing of the pace while what came is fetched again', async () => {
  const clock = new ManualClock()
  const meter = new ProgressMeter(1000, clock)
  await clock.advance(1000)
  meter.add(500)
  meter.add(-500)
  assert.deepEqual(meter.read(), { bytesDone: 0, bytes: 1000, bytesPerSecond: 0 })
})
