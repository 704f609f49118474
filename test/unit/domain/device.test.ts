import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { deviceIndex, isGpu, parseDevice, providerOf } from '../../../src/domain/device.ts'

describe('a device', () => {
  it('is the CPU, WebGPU, or a numbered CUDA GPU, written in one way only', () => {
    for (const text of ['cpu', 'webgpu', 'cuda:0', 'cuda:7', 'cuda:15']) assert.equal(parseDevice(text), text)
    for (const text of ['', 'auto', 'cuda', 'cuda:', 'cuda:-1', 'cuda:01', 'cuda:1x', 'CPU', 'gpu', 'cuda:1000'])
      assert.equal(parseDevice(text), undefined, text)
  })

  it('has a provider that its index does not change', () => {
    assert.deepEqual((['cpu', 'webgpu', 'cuda:0', 'cuda:3'] as const).map(providerOf), [
      'cpu',
      'webgpu',
      'cuda',
      'cuda',
    ])
    assert.deepEqual((['cpu', 'webgpu', 'cuda:0', 'cuda:13'] as const).map(deviceIndex), [0, 0, 0, 13])
    assert.deepEqual((['cpu', 'webgpu', 'cuda:0'] as const).map(isGpu), [false, true, true])
  })
})
