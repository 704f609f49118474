/** Resolves with the flight, or rejects with the signal's reason first; the flight goes on. */
export function waitFor<T>(flight: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return flight
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
    // Also where nobody waits any more: a flight whose failure is nobody's ends the process.
    flight.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}
