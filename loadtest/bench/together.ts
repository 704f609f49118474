/** Loads at the same time, each from a generator of its own, and what else goes on meanwhile. */
import type { Clock } from '../../src/lib/clock.ts'
import { generateLoad } from '../generator/load-generator.ts'
import type { LoadPlan, LoadReport } from '../generator/plan.ts'

/**
 * Runs the plans at the same time: they begin together, when the slowest generator has prepared its answers, and so does `beside`. Its
 * signal aborts when the first load has ended, and it then ends by itself.
 */
export async function together<Name extends string>(
  plans: Readonly<Record<Name, LoadPlan>>,
  signal: AbortSignal,
  beside: (stopped: AbortSignal) => Promise<void> = () => Promise.resolve(),
): Promise<Record<Name, LoadReport>> {
  const names = Object.keys(plans) as Name[]
  const stop = new AbortController()
  const begun = Promise.withResolvers<void>()
  let preparing = names.length
  const onReady = (): Promise<void> => {
    preparing -= 1
    if (preparing === 0) begun.resolve()
    return begun.promise
  }
  const loads = names.map(async (name) => [name, await generateLoad(plans[name], { signal, onReady })] as const)
  const first = Promise.race(loads).finally(() => stop.abort())
  const others = begun.promise.then(() => beside(stop.signal))
  // A generator that fails before it is ready ends the wait for all.
  const [reports] = await Promise.all([Promise.all(loads), Promise.race([others, first.then(() => others)])])
  return Object.fromEntries(reports) as Record<Name, LoadReport>
}

/** Starts `act` every `everyMs`, whatever became of the one before, until the signal aborts; resolves when all have ended. */
export async function actEvery(
  clock: Clock,
  everyMs: number,
  stopped: AbortSignal,
  act: (index: number) => Promise<void>,
): Promise<void> {
  const started: Promise<void>[] = []
  const over = Promise.withResolvers<void>()
  const begin = (): void => {
    const acting = act(started.length)
    started.push(acting)
    acting.catch(over.reject)
  }
  const timer = clock.every(everyMs, begin)
  const end = (): void => over.resolve()
  stopped.addEventListener('abort', end, { once: true })
  if (stopped.aborted) end()
  else begin()
  try {
    await over.promise
  } finally {
    timer.cancel()
    stopped.removeEventListener('abort', end)
  }
  await Promise.all(started)
}
