/**
 * Pays what the first session of a process costs (tens of milliseconds, megabytes), so that no model is charged with it, and shows that
 * the device is there: on a GPU the session is refused by the engine unless all of it runs on that GPU.
 */
import { type Device, isGpu } from '../domain/device.ts'
import { deviceUnavailable } from './device-errors.ts'
import { InferenceSession, OrtTensor, type SessionOptions } from './ort.ts'
import { plainOptions, withoutCpu } from './session-options.ts'

/** ModelProto of `y = not x` for one scalar boolean, opset 17. */
const SMALLEST_MODEL = Buffer.from(
  [
    '0808', // ir_version 8
    '3a2a', // graph
    '0a0b 0a0178 120179 22034e6f74', // node: x -> Not -> y
    '120167', // name: g
    '5a0b 0a0178 1206 0a04 0809 1200', // input x: bool, no dimensions
    '620b 0a0179 1206 0a04 0809 1200', // output y: the same
    '4202 1011', // opset 17
  ]
    .join('')
    .replaceAll(' ', ''),
  'hex',
)

/** @throws GatewayError DEVICE_UNAVAILABLE when a GPU cannot be used; Error when the engine cannot work in this process at all */
export async function firstRun(device: Device): Promise<void> {
  const options = plainOptions({ intraOpThreads: 1, device })
  if (!isGpu(device)) return await runOnce(options)
  try {
    await runOnce(withoutCpu(options))
  } catch (error) {
    throw deviceUnavailable(device, error)
  }
}

async function runOnce(options: SessionOptions): Promise<void> {
  const session = await InferenceSession.create(SMALLEST_MODEL, options)
  try {
    const { y } = await session.run({ x: new OrtTensor('bool', Uint8Array.of(0), []) })
    if (y?.data[0] !== 1) throw new Error('ONNX Runtime gives wrong answers on this machine')
  } finally {
    await session.release()
  }
}
