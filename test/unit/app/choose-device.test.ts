import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { chooseDevice } from '../../../src/app/choose-device.ts'
import type { Device } from '../../../src/domain/device.ts'
import { GatewayError } from '../../../src/domain/errors.ts'

/** A machine on which only these answer. */
function machine(...present: Device[]) {
  const asked: Device[] = []
  const probe = (device: Device): Promise<void> => {
    asked.push(device)
    return present.includes(device)
      ? Promise.resolve()
      : Promise.reject(new GatewayError('DEVICE_UNAVAILABLE', `${device} cannot be used: no driver`))
  }
  return { asked, probe }
}

describe('the device a server runs on', () => {
  it('is the CPU without asking anything when the CPU is wanted', async () => {
    const { asked, probe } = machine('cuda:0')
    assert.equal((await chooseDevice('cpu', probe)).device, 'cpu')
    assert.deepEqual(asked, [])
  })

  it('is the one named, or an error with its reason: never another', async () => {
    const { probe } = machine('cuda:1')
    assert.equal((await chooseDevice('cuda:1', probe)).device, 'cuda:1')
    for (const missing of ['cuda:0', 'webgpu']) {
      await assert.rejects(chooseDevice(missing, probe), { code: 'DEVICE_UNAVAILABLE', message: /no driver/ })
    }
  })

  it('is the first GPU by itself where there is one, else the CPU with the reason why', async () => {
    assert.equal((await chooseDevice('auto', machine('cuda:0').probe)).device, 'cuda:0')
    const choice = await chooseDevice('auto', machine().probe)
    assert.deepEqual(choice, { device: 'cpu', reason: 'cuda:0 cannot be used: no driver' })
  })

  it('is never WebGPU by itself', async () => {
    const { asked, probe } = machine('webgpu')
    assert.equal((await chooseDevice('auto', probe)).device, 'cpu')
    assert.deepEqual(asked, ['cuda:0'])
  })

  it('does not take a bug for a missing device', async () => {
    await assert.rejects(
      chooseDevice('auto', () => Promise.reject(new TypeError('a bug'))),
      TypeError,
    )
  })
})
