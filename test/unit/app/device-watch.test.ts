import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { DeviceWatch, deviceBudgetBytes } from '../../../src/app/device-watch.ts'
import { GatewayError } from '../../../src/domain/errors.ts'

const GiB = 2 ** 30

describe('the budget of a GPU', () => {
  it('is what the configuration says, else a share of what the driver tells, else 1 GiB', () => {
    const config = { use: 'cuda:0', memoryBytes: null, memoryFraction: 0.5, maxDeviation: 0.02 }
    const told = { totalBytes: 16 * GiB, usedBytes: GiB }
    assert.equal(deviceBudgetBytes({ ...config, memoryBytes: 3 * GiB }, told), 3 * GiB)
    assert.equal(deviceBudgetBytes(config, told), 8 * GiB)
    assert.equal(deviceBudgetBytes(config, undefined), GiB)
  })
})

describe('the watch over a GPU', () => {
  function watch() {
    const events: string[] = []
    const changes: (GatewayError | undefined)[] = []
    const gpu = new DeviceWatch({
      device: 'cuda:0',
      log: { event: (name) => void events.push(name) },
      onChange: (lost) => void changes.push(lost),
      readMemory: () => Promise.resolve(undefined),
    })
    return { gpu, events, changes }
  }
  const missing = new GatewayError('DEVICE_UNAVAILABLE', 'cuda:0 cannot be used: no CUDA-capable device is detected')

  it('tells once that the GPU is lost, however often workers fail to come up, and once that it is back', () => {
    const { gpu, events, changes } = watch()
    gpu.up()
    for (let i = 0; i < 3; i++) gpu.unfit(missing)
    assert.equal(gpu.isUp, false)
    for (let i = 0; i < 2; i++) gpu.up()
    assert.ok(gpu.isUp)
    assert.deepEqual(events, ['device.lost', 'device.back'])
    assert.deepEqual(changes, [missing, undefined])
  })

  it('does not take a worker that died at its start for a lost GPU', () => {
    const { gpu, events } = watch()
    gpu.unfit(new Error('the child process went away'))
    assert.ok(gpu.isUp)
    assert.deepEqual(events, [])
  })
})
