/** Waits for what another process does: asks again and again, within a bound that only a broken program meets. */
import { pause, systemClock } from '../../src/lib/clock.ts'

const BOUND_MS = 30_000
/** Between two questions: they cost the asked process time. */
const ASK_AGAIN_MS = 15

/**
 * Resolves with the first value of `question` that is not undefined. What it throws ends the wait at once.
 * @param what names the wait in the error, as in "timed out waiting until <what>"
 */
export async function eventually<T>(
  what: string,
  question: () => Promise<T | undefined> | T | undefined,
  boundMs = BOUND_MS,
): Promise<T> {
  const end = systemClock.now() + boundMs
  for (;;) {
    const answer = await question()
    if (answer !== undefined) return answer
    if (systemClock.now() > end) throw new Error(`timed out waiting until ${what}`)
    await pause(systemClock, ASK_AGAIN_MS)
  }
}

/** As `eventually`, for a question whose answer is yes or no. */
export async function until(what: string, isSo: () => Promise<boolean> | boolean): Promise<void> {
  await eventually(what, async () => ((await isSo()) ? true : undefined))
}
