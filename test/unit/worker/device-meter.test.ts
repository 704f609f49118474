import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { DeviceMeter } from '../../../src/worker/device-meter.ts'

/** A driver that gives these answers, one after the other, and notes who was asked for. */
function driver(answers: { ofProcess?: (number | undefined)[]; ofGpu?: (number | undefined)[] }) {
  const asked: string[] = []
  return {
    asked,
    queries: {
      ofProcess: (index: number, pid: number) => {
        asked.push(`process ${pid} on ${index}`)
        return Promise.resolve(answers.ofProcess?.shift())
      },
      ofGpu: (index: number) => {
        asked.push(`gpu ${index}`)
        return Promise.resolve(answers.ofGpu?.shift())
      },
    },
  }
}

describe('the meter of a device', () => {
  it('reads what this process holds of its GPU', async () => {
    const { queries, asked } = driver({ ofProcess: [100, 160] })
    const meter = new DeviceMeter('cuda:2', 41, queries)
    assert.deepEqual([await meter.read(), await meter.read()], [100, 160])
    assert.deepEqual(asked, ['process 41 on 2', 'process 41 on 2'])
  })

  it('reads the whole GPU where the driver knows the process by another id, and stays with it', async () => {
    const { queries, asked } = driver({ ofGpu: [1000, 1060] })
    const meter = new DeviceMeter('cuda:0', 41, queries)
    assert.deepEqual([await meter.read(), await meter.read()], [1000, 1060])
    assert.deepEqual(asked, ['process 41 on 0', 'gpu 0', 'gpu 0'])
  })

  it('asks nobody again where nobody tells, and never for WebGPU or the CPU', async () => {
    const { queries, asked } = driver({})
    const meter = new DeviceMeter('cuda:0', 41, queries)
    assert.deepEqual([await meter.read(), await meter.read()], [undefined, undefined])
    assert.equal(asked.length, 2)
    for (const device of ['webgpu', 'cpu'] as const) {
      assert.equal(await new DeviceMeter(device, 41, queries).read(), undefined)
    }
    assert.equal(asked.length, 2)
  })
})
