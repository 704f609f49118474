/** Which device a server runs on: what the configuration names, tried before anything is built on it, or what `auto` finds. */
import { AUTO, type Device, isGpu, parseDevice } from '../domain/device.ts'
import { GatewayError } from '../domain/errors.ts'

const FIRST_GPU: Device = 'cuda:0'

export interface Choice {
  readonly device: Device
  /** Why this one, for the log. */
  readonly reason: string
}

/**
 * `probe` rejects with DEVICE_UNAVAILABLE when a GPU cannot be used. One asked for by name is that one or an error; only `auto` may
 * come down to the CPU, and it never takes WebGPU, which may be a renderer in software.
 * @throws GatewayError DEVICE_UNAVAILABLE
 */
export async function chooseDevice(wanted: string, probe: (device: Device) => Promise<void>): Promise<Choice> {
  if (wanted === AUTO) {
    try {
      await probe(FIRST_GPU)
      return { device: FIRST_GPU, reason: 'it answers' }
    } catch (error) {
      if (!(error instanceof GatewayError) || error.code !== 'DEVICE_UNAVAILABLE') throw error
      return { device: 'cpu', reason: error.message }
    }
  }
  const device = parseDevice(wanted)
  if (device === undefined) throw new TypeError(`${wanted} is no device`)
  if (isGpu(device)) await probe(device)
  return { device, reason: 'asked for' }
}
