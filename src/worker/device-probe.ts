/**
 * Can models run on a device of this machine? Asked of a process of its own, which is over when the answer is there: a driver that
 * crashes or hangs must not take the server with it.
 */
import { stripVTControlCharacters } from 'node:util'
import { ChildCalls, ChildGoneError } from '../child/calls.ts'
import { awaitExit, spawnChild } from '../child/spawn.ts'
import type { Device } from '../domain/device.ts'
import { GatewayError } from '../domain/errors.ts'
import type { Clock } from '../lib/clock.ts'
import { COMMAND } from './commands.ts'
import type { Hello } from './messages.ts'

/** Drivers compile their kernels at first use; beyond this something is wrong. */
const PROBE_MS = 60_000
const END_MS = 2_000

export interface ProbeOptions {
  readonly clock: Clock
  readonly onLine: (line: string) => void
  /** Entry file of the process; the worker's own unless a test says otherwise. */
  readonly entry?: URL
}

/** @throws GatewayError DEVICE_UNAVAILABLE with the reason */
export async function probeDevice(device: Device, { clock, onLine, entry }: ProbeOptions): Promise<void> {
  const child = spawnChild({
    entry: entry ?? new URL('./worker-main.ts', import.meta.url),
    onLine: (_stream, line) => onLine(stripVTControlCharacters(line)),
  })
  const calls = new ChildCalls(child.channel)
  let isTimedOut = false
  const timer = clock.after(PROBE_MS, () => {
    isTimedOut = true
    child.kill()
  })
  try {
    await calls.call(COMMAND.hello, [Buffer.from(JSON.stringify({ device } satisfies Hello))])
  } catch (error) {
    if (!(error instanceof ChildGoneError)) throw error
    const { code, signal } = await child.exited
    const how = isTimedOut
      ? `did not answer within ${PROBE_MS} ms`
      : `ended the process (${signal ?? `exit code ${code}`})`
    throw new GatewayError('DEVICE_UNAVAILABLE', `${device} cannot be used: its driver ${how}`, { details: { device } })
  } finally {
    timer.cancel()
    calls.end()
    await awaitExit(child, END_MS, clock)
  }
}
