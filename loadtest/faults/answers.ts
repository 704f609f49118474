/** What rows read off an answer that need not be a 200. */
import type { Reply } from '../generator/http-connection.ts'
import { errorCount, type LoadReport } from '../generator/plan.ts'
import type { Expectations } from './fault.ts'

/** The code of an error body; undefined for anything else. */
function codeOf({ body }: Pick<Reply, 'body'>): string | undefined {
  try {
    const parsed = JSON.parse(body.toString('utf8')) as { readonly code?: unknown }
    return typeof parsed.code === 'string' ? parsed.code : undefined
  } catch {
    return undefined
  }
}

/** `422 MODEL_QUARANTINED`, or the status alone. */
export function outcomeOf(reply: Reply): string {
  const code = codeOf(reply)
  return code === undefined ? String(reply.status) : `${reply.status} ${code}`
}

/** How often each outcome came, most frequent first: `200 × 990, 503 OVERLOADED × 10`. */
export function countOutcomes(outcomes: readonly string[]): string {
  const counts = new Map<string, number>()
  for (const outcome of outcomes) counts.set(outcome, (counts.get(outcome) ?? 0) + 1)
  const sorted = [...counts].toSorted(([, a], [, b]) => b - a)
  return sorted.map(([outcome, count]) => `${outcome} × ${count}`).join(', ')
}

/** The traffic beside a fault noticed nothing. */
export function expectUntouched(expect: Expectations, { wrong, answered, ...report }: LoadReport): void {
  expect.equal('wrong answers of others', wrong, 0)
  const errors = errorCount(report)
  expect.that(errors === 0, `${errors} of ${answered + errors} requests of others failed: ${report.firstProblem}`)
  expect.that(answered > 0, 'no request of others was answered')
}

export function tailOf({ latency }: LoadReport): string {
  return `others' p99 ${latency.p99.toFixed(1)} ms`
}
