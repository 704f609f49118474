import { Semaphore } from './semaphore.ts'

/**
 * Runs a task for each item, at most `limit` at a time. @returns what they gave, in the order of the items. When one fails the others that
 * wait are not begun, and it rejects with that failure once all that were begun have ended; or with the signal's reason.
 */
export async function eachOf<T, R>(
  items: readonly T[],
  limit: number,
  signal: AbortSignal,
  task: (item: T) => Promise<R>,
): Promise<R[]> {
  const turns = new Semaphore(limit)
  const failed = new AbortController()
  const either = AbortSignal.any([signal, failed.signal])
  const running = items.map((item) =>
    turns.use(async () => {
      try {
        return await task(item)
      } catch (error) {
        failed.abort(error)
        throw error
      }
    }, either),
  )
  await Promise.allSettled(running)
  either.throwIfAborted()
  return await Promise.all(running)
}
