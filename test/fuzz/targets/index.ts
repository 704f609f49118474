/** Everything that reads bytes from outside and can be fuzzed without a server. */
import type { FuzzTarget } from '../target.ts'
import { names } from './names.ts'
import { oipRequest } from './oip-request.ts'
import { onnxWalk } from './onnx-walk.ts'
import { places } from './places.ts'
import { PLANTED } from './planted.ts'
import { sidecars } from './sidecars.ts'

export const TARGETS: readonly FuzzTarget[] = [oipRequest, onnxWalk, names, sidecars, places]

/** Also those with planted faults. @throws Error */
export function targetNamed(name: string): FuzzTarget {
  const target = [...TARGETS, ...PLANTED].find((one) => one.name === name)
  if (target === undefined)
    throw new Error(`no target '${name}'; there are ${TARGETS.map((one) => one.name).join(', ')}`)
  return target
}
