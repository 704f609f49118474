/** What a failed call means for a process whose sessions are on a GPU. */
import { writeSync } from 'node:fs'
import { deviceOutOfMemory } from '../domain/device-memory.ts'
import { GatewayError } from '../domain/errors.ts'
import { deviceTrouble, requestedBytes, textOf } from './device-errors.ts'

const STDERR = 2

/**
 * The error for a call that failed for want of the device's memory; undefined when the device is not to blame. Does not return when the
 * device is lost or poisoned: every session of the process is gone with it, so that nothing is worth keeping, and a death is what
 * everybody around a child process is prepared for. A poisoned device dies as a crash does (SIGABRT), because the model that ran may
 * have done it; a lost one as if killed from outside (SIGKILL), because no model did.
 */
export function failOnDevice(when: 'open' | 'run', thrown: unknown): GatewayError | undefined {
  const text = textOf(thrown)
  const trouble = deviceTrouble(text)
  if (trouble === 'memory') return deviceOutOfMemory(when, requestedBytes(text), thrown)
  if (trouble === 'limit') return beyondLimit(requestedBytes(text), thrown)
  if (trouble === undefined) return undefined
  // The last words of the process, past every buffer.
  writeSync(STDERR, `the GPU is ${trouble}, this process ends: ${text.split('\n', 1)[0] ?? ''}\n`)
  process.kill(process.pid, trouble === 'lost' ? 'SIGKILL' : 'SIGABRT')
  return undefined
}

/** 507 that time does not help with, and that says nothing of what the device holds. */
function beyondLimit(bytes: number | undefined, cause: unknown): GatewayError {
  const size = bytes === undefined ? '' : ` of ${bytes} bytes`
  return new GatewayError(
    'CAPACITY_EXHAUSTED',
    `a tensor${size} is larger than the GPU takes; send fewer rows`,
    {},
    { cause },
  )
}
