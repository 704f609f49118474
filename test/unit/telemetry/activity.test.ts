import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { hottest } from '../../../src/app/overview.ts'
import { Activities } from '../../../src/telemetry/activity.ts'
import { Rate } from '../../../src/telemetry/rate.ts'
import { RecentLatency } from '../../../src/telemetry/recent-latency.ts'
import type { RequestSummary } from '../../../src/telemetry/request-summary.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const DONE: RequestSummary = {
  requestId: 'r',
  method: 'POST',
  route: '/v2/infer',
  status: 200,
  model: 'acme/churn',
  version: '7',
  cache: 'hit',
  bytesIn: 0,
  bytesOut: 0,
  durationMs: 4,
}

function near(actual: number | undefined, expected: number, share: number): void {
  assert.ok(Math.abs((actual ?? Number.NaN) - expected) <= share * expected, `${actual} is about ${expected}`)
}

describe('Rate', () => {
  it('comes to the true rate of what happens steadily, and fades when it stops', () => {
    const rate = new Rate(10_000)
    for (let now = 0; now < 100_000; now += 50) rate.add(now)
    near(rate.perSecond(100_000), 20, 0.02)
    near(rate.perSecond(110_000), 20 / Math.E, 0.02)
    assert.ok(rate.perSecond(300_000) < 1e-6)
  })

  it('is nothing before the first', () => {
    assert.equal(new Rate(1000).perSecond(5), 0)
  })
})

describe('RecentLatency', () => {
  it('tells quantiles within its promise over the whole range', () => {
    for (const scale of [0.1, 1, 30, 1000]) {
      const latency = new RecentLatency()
      for (let i = 1; i <= 1000; i++) latency.add((i / 1000) * scale)
      near(latency.quantile(0.5), 0.5 * scale, 0.12)
      near(latency.quantile(0.99), 0.99 * scale, 0.12)
    }
  })

  it('forgets what is long ago', () => {
    const latency = new RecentLatency()
    for (let i = 0; i < 20_000; i++) latency.add(100)
    for (let i = 0; i < 20_000; i++) latency.add(2)
    near(latency.quantile(0.99), 2, 0.12)
  })

  it('takes what is out of its range, and says so of no duration at all', () => {
    const latency = new RecentLatency()
    assert.equal(latency.quantile(0.5), undefined)
    latency.add(0)
    latency.add(1e9)
    assert.ok((latency.quantile(0.5) ?? 1) < 0.1)
    assert.ok((latency.quantile(1) ?? 0) > 50_000)
  })
})

describe('Activities', () => {
  it('sums by version and over all, with a hit ratio of the last seconds that moves', () => {
    const clock = new ManualClock()
    const activities = new Activities(clock)
    activities.requestDone({ ...DONE, cache: 'compile' })
    activities.requestDone(DONE)
    const { cache: _cache, ...failed } = DONE
    activities.requestDone({ ...failed, status: 500, code: 'INFERENCE_FAILED' })
    activities.requestDone({ ...failed, status: 499, code: 'CLIENT_GONE' })
    const model = activities.get('acme/churn', '7')
    assert.deepEqual(model?.outcomes, { hit: 1, load: 0, compile: 1, wait: 0 })
    assert.deepEqual([model?.requests, model?.errors, model?.hitRatio], [4, 1, 0.5])
    near(activities.recentHitRatio(), 0.5, 0.01)
    clock.tick(60_000)
    activities.requestDone(DONE)
    near(activities.recentHitRatio(), 1, 0.02)
  })

  it('takes no name for a model that nobody knows, so that callers cannot fill it', () => {
    const activities = new Activities(new ManualClock())
    const { version: _version, ...unversioned } = DONE
    activities.requestDone({ ...DONE, status: 404, code: 'VERSION_NOT_FOUND' })
    activities.requestDone({ ...unversioned, status: 404, code: 'MODEL_NOT_FOUND' })
    activities.requestDone({ ...unversioned, status: 400, code: 'BAD_MODEL_REF' })
    assert.equal([...activities.models()].length, 0)
  })

  it('is bounded, and forgets first who was quiet longest', () => {
    const activities = new Activities(new ManualClock())
    for (let i = 0; i < 10_000; i++) activities.requestDone({ ...DONE, model: `m-${i}` })
    activities.requestDone({ ...DONE, model: 'm-0' })
    activities.requestDone({ ...DONE, model: 'new' })
    assert.equal([...activities.models()].length, 10_000)
    assert.ok(activities.get('m-0', '7') !== undefined)
    assert.equal(activities.get('m-1', '7'), undefined)
  })

  it('knows the hottest without sorting the rest', () => {
    const clock = new ManualClock()
    const activities = new Activities(clock)
    for (let i = 0; i < 50; i++)
      for (let k = 0; k < (i * 7) % 50; k++) activities.requestDone({ ...DONE, model: `m-${i}` })
    const names = hottest(activities.models(), 3, clock.now()).map(({ name }) => name)
    assert.deepEqual(
      names,
      [49, 48, 47].map((count) => `m-${hotAt(count)}`),
    )
    assert.deepEqual(hottest(activities.models(), 0, clock.now()), [])
  })
})

/** Which of the fifty was asked for so many times. */
function hotAt(count: number): number {
  for (let i = 0; i < 50; i++) if ((i * 7) % 50 === count) return i
  return -1
}
