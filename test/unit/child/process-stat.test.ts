import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parsePressure, readMemoryPressure } from '../../../src/child/memory-pressure.ts'
import { parseProcessStat, readProcessStat } from '../../../src/child/process-stat.ts'

describe('parseProcessStat', () => {
  it('finds its fields behind any name that a process may have', () => {
    const rest = 'R 2544 2544 20199 0 -1 4194304 100 7 42 8 150 25 0 0 20 0 1 0 1554227'
    for (const name of ['cat', 'a b', '(sd) (x', 'x) R 1 2']) {
      assert.deepEqual(parseProcessStat(`2553 (${name}) ${rest}`), { majorFaults: 42, cpuMs: 1750 })
    }
  })

  it('reads a living process and knows of one that is gone', async () => {
    const own = await readProcessStat('self')
    assert.ok(own !== undefined && own.cpuMs > 0 && own.majorFaults >= 0)
    assert.equal(await readProcessStat(2 ** 22 + 1), undefined)
  })
})

describe('parsePressure', () => {
  it('takes totals in seconds, and nothing from what is none', () => {
    const text =
      'some avg10=0.00 avg60=0.10 avg300=0.00 total=2500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=500000\n'
    assert.deepEqual(parsePressure(text), { someSeconds: 2.5, fullSeconds: 0.5 })
    assert.equal(parsePressure(''), undefined)
  })

  it('reads the machine or says that it does not tell', async () => {
    const pressure = await readMemoryPressure()
    assert.ok(pressure === undefined || pressure.someSeconds >= pressure.fullSeconds)
  })
})
