/**
 * Time, and the only place of the project that reads it or sets a timer. Everything else takes a `Clock`, so that tests move
 * time by hand. Durations are monotonic milliseconds; wall time exists only where a protocol or a file needs a date.
 */

/** A timer's owner cancels it; cancelling twice, or after it fired, does nothing. */
export interface Timer {
  cancel(): void
}

export interface Clock {
  /** Monotonic milliseconds with a fraction; only differences mean anything. */
  now(): number
  /** Milliseconds since 1970; may jump. */
  wall(): number
  /** Calls `task` once after `ms`. The timer does not keep the process alive. */
  after(ms: number, task: () => void): Timer
  /** Calls `task` every `ms`, first after `ms`. The timer does not keep the process alive. */
  every(ms: number, task: () => void): Timer
}

/** setTimeout turns longer delays into 1 ms. */
const MAX_DELAY_MS = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after(ms, task) {
    const handle = setTimeout(task, Math.min(Math.max(ms, 0), MAX_DELAY_MS)).unref()
    return { cancel: () => clearTimeout(handle) }
  },
  every(ms, task) {
    const handle = setInterval(task, Math.min(Math.max(ms, 1), MAX_DELAY_MS)).unref()
    return { cancel: () => clearInterval(handle) }
  },
}

/** Resolves after `ms`, or rejects with the signal's reason as soon as it aborts; no timer or listener outlives it. */
export function pause(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const onAbort = () => {
      timer.cancel()
      reject(signal?.reason)
    }
    const timer = clock.after(ms, () => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    })
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}

/** Resolves when `work` does, or after `ms` without it. Rejects as `work` does, unless that comes too late to be heard. */
export async function within(ms: number, clock: Clock, work: Promise<unknown>): Promise<void> {
  const { promise: isOver, resolve } = Promise.withResolvers<void>()
  const timer = clock.after(ms, resolve)
  try {
    await Promise.race([work, isOver])
  } finally {
    timer.cancel()
  }
}
