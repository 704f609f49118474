import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { arrivalTimes } from '../../../../loadtest/generator/arrivals.ts'
import { Rng } from '../../../../loadtest/models/index.ts'

function take(times: Generator<number>, count: number): number[] {
  return Array.from({ length: count }, () => Number(times.next().value))
}

describe('arrival times', () => {
  it('are evenly spaced when constant, from zero on', () => {
    assert.deepEqual(take(arrivalTimes('constant', 200, new Rng(1)), 4), [0, 5, 10, 15])
  })

  it('have exponential gaps when Poisson: mean and deviation are the same', () => {
    const times = take(arrivalTimes('poisson', 100, new Rng(2)), 50_001)
    const gaps = times.slice(1).map((at, i) => at - (times[i] ?? 0))
    const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length
    const deviation = Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length)
    assert.ok(Math.abs(mean - 10) < 0.3, `mean gap ${mean} ms`)
    assert.ok(Math.abs(deviation - 10) < 0.5, `deviation ${deviation} ms`)
  })

  it('come in bursts when bursty: the deviation of the gaps is eight times their mean', () => {
    const times = take(arrivalTimes('bursty', 100, new Rng(4)), 400_001)
    const gaps = times.slice(1).map((at, i) => at - (times[i] ?? 0))
    const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length
    const deviation = Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length)
    assert.ok(Math.abs(mean - 10) < 0.5, `mean gap ${mean} ms`)
    assert.ok(Math.abs(deviation / mean - 8) < 0.5, `coefficient of variation ${deviation / mean}`)
  })

  it('need a rate', () => {
    assert.throws(() => arrivalTimes('constant', 0, new Rng(1)).next(), /rps is 0/)
  })
})
