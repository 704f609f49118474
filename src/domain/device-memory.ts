/** Memory of a GPU that ran out, as an error of ours: told apart from room that a ledger refused, which nobody has tried to use. */
import { GatewayError } from './errors.ts'

const OUT_OF = 'device memory'

/** 507 for what did not fit just then. `bytes`: of the allocation that failed, where the driver said so. */
export function deviceOutOfMemory(when: 'open' | 'run', bytes: number | undefined, cause: unknown): GatewayError {
  const what = when === 'open' ? 'to open the model' : 'for this request'
  return new GatewayError(
    'CAPACITY_EXHAUSTED',
    `the GPU has not enough memory ${what}${bytes === undefined ? '' : `: ${bytes} bytes more could not be had`}`,
    { retryAfterMs: 1000, details: { outOf: OUT_OF, when, ...(bytes === undefined ? {} : { bytes }) } },
    { cause },
  )
}

export function isDeviceOutOfMemory(error: unknown): error is GatewayError {
  return error instanceof GatewayError && error.facts.details?.outOf === OUT_OF
}

/** Of the allocation that failed; undefined where nobody said. */
export function bytesNotHad(error: GatewayError): number | undefined {
  const bytes = error.facts.details?.bytes
  return typeof bytes === 'number' ? bytes : undefined
}
