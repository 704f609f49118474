/** Asks a server for its overview. */
import type { Clock } from '../lib/clock.ts'
import type { Overview } from '../telemetry/overview.ts'

/** What stands between a server and its overview, for people. */
export class OverviewError extends Error {}

const TIMEOUT_MS = 5000
/** More models than the tallest terminal has rows. */
const TOP = 100

/** @throws OverviewError; the signal's reason */
export async function fetchOverview(url: string, clock: Clock, signal: AbortSignal): Promise<Overview> {
  const timeout = new AbortController()
  const timer = clock.after(TIMEOUT_MS, () => timeout.abort())
  try {
    const answer = await fetch(new URL(`/admin/overview?top=${TOP}`, url), {
      signal: AbortSignal.any([signal, timeout.signal]),
      redirect: 'error',
    })
    if (answer.status === 404)
      throw new OverviewError('it tells nobody, or not us: telemetry.overview is off, or this is not its machine')
    if (!answer.ok) throw new OverviewError(`it answers ${answer.status}`)
    const body: unknown = await answer.json()
    if (!isOverview(body)) throw new OverviewError('what it answers is no overview')
    return body
  } catch (error) {
    if (error instanceof OverviewError || signal.aborted) throw error
    if (timeout.signal.aborted) throw new OverviewError(`no answer within ${TIMEOUT_MS / 1000} s`)
    throw new OverviewError(`no connection (${reasonOf(error)})`)
  } finally {
    timer.cancel()
  }
}

/** A server of another version may tell more or less; without these parts there is nothing to show. */
function isOverview(body: unknown): body is Overview {
  if (typeof body !== 'object' || body === null) return false
  return ['server', 'traffic', 'models', 'workers', 'ledger', 'queue', 'compilers', 'events'].every(
    (part) => part in body,
  )
}

function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  if (cause instanceof Error && 'code' in cause && typeof cause.code === 'string') return cause.code
  return cause instanceof Error ? cause.message : String(cause)
}
