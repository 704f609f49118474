import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { VitalsOptions } from '../../../src/app/worker-vitals.ts'
import { WorkerVitals } from '../../../src/app/worker-vitals.ts'
import { ManualClock } from '../../support/manual-clock.ts'

function watch(options: Partial<VitalsOptions> = {}) {
  const clock = new ManualClock()
  const events: object[] = []
  const worker = { slot: 'worker-0', pid: 10 }
  const stat = { majorFaults: 0, cpuMs: 0 }
  const pressure = { someSeconds: 0, fullSeconds: 0 }
  const vitals = new WorkerVitals({
    clock,
    log: { event: (name, fields) => void events.push({ name, ...fields }) },
    workers: () => [worker],
    readStat: async () => ({ ...stat }),
    readPressure: async () => ({ ...pressure }),
    majorFaultsAlarm: 100,
    isServing: () => true,
    ...options,
  })
  /** One look, with what grew since the one before. */
  const look = async (faults: number, cpuMs = 0, stalledSeconds = 0) => {
    stat.majorFaults += faults
    stat.cpuMs += cpuMs
    pressure.fullSeconds += stalledSeconds
    await clock.advance(2000)
  }
  return { clock, events, worker, stat, vitals, look }
}

describe('WorkerVitals', () => {
  it('tells cores and faults of the time between two looks', async () => {
    const { vitals, look } = watch()
    await look(5, 500)
    assert.equal(vitals.of('worker-0').busyCores, undefined)
    await look(10, 3000)
    assert.deepEqual(vitals.of('worker-0').busyCores, 1.5)
    assert.equal(vitals.of('worker-0').majorFaultsPerSecond, 5)
    assert.equal(vitals.of('worker-0').majorFaults, 15)
  })

  it('counts on over the death of a process, and never backwards', async () => {
    const { vitals, look, worker, stat } = watch()
    await look(50)
    vitals.down('worker-0')
    worker.pid = 0
    await look(0)
    Object.assign(worker, { pid: 11 })
    Object.assign(stat, { majorFaults: 0, cpuMs: 0 })
    await look(7)
    assert.equal(vitals.of('worker-0').majorFaults, 57)
    assert.equal(vitals.of('worker-0').restarts, 1)
  })

  it('raises an alarm for faults that last while requests are served, once, and clears it', async () => {
    const { look, events } = watch()
    for (const faults of [0, 1000, 0, 1000, 1000, 1000, 1000, 0, 0, 0]) await look(faults)
    assert.deepEqual(events, [
      { name: 'memory.major-faults', is: 'raised', perSecond: 500, limit: 100 },
      { name: 'memory.major-faults', is: 'cleared', perSecond: 0, limit: 100 },
    ])
  })

  it('is quiet about faults when nobody is served, or when told to be', async () => {
    for (const options of [{ isServing: () => false }, { majorFaultsAlarm: 0 }]) {
      const { look, events } = watch(options)
      for (let i = 0; i < 6; i++) await look(1000)
      assert.deepEqual(events, [])
    }
  })

  it('raises an alarm when memory makes everything stand still', async () => {
    const { look, events } = watch()
    for (let i = 0; i < 5; i++) await look(0, 0, 1)
    assert.deepEqual(events, [{ name: 'memory.pressure', is: 'raised', stalledShare: 0.5 }])
  })

  it('leaves no timer behind', () => {
    const { vitals, clock } = watch()
    vitals.close()
    assert.equal(clock.pendingTimers, 0)
  })
})
