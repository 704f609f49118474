/** Pays what the first session of a process costs (tens of milliseconds, megabytes), so that no model is charged with it. */
import { InferenceSession, OrtTensor } from './ort.ts'

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

/** @throws Error when the engine cannot work in this process at all */
export async function firstRun(): Promise<void> {
  const session = await InferenceSession.create(SMALLEST_MODEL, { intraOpNumThreads: 1, interOpNumThreads: 1 })
  const { y } = await session.run({ x: new OrtTensor('bool', Uint8Array.of(0), []) })
  await session.release()
  if (y?.data[0] !== 1) throw new Error('ONNX Runtime gives wrong answers on this machine')
}
