/**
 * The fields of a request's log line as JSON. Written by hand because every request causes one: pino took some 20 µs in a busy
 * server (9 alone), most of what telemetry costs a small request; this takes a fraction of it.
 */
import { ERRORS } from '../domain/errors.ts'
import { PHASES } from '../domain/phases.ts'
import type { RequestSummary } from './request-summary.ts'

/** Without braces: `"status":200,"requestId":"...",...`. Milliseconds with three decimals; no `error`. */
export function requestLine(summary: RequestSummary): string {
  const { status, requestId, method, route, code, model, version, cache, timings, batchRows } = summary
  let line = `"status":${status},"requestId":${JSON.stringify(requestId)},"method":${JSON.stringify(method)},"route":"${route}"`
  if (code !== undefined) line += `,"code":"${code}","against":"${ERRORS[code].countsAgainst}"`
  if (model !== undefined) line += `,"model":${JSON.stringify(model)}`
  if (version !== undefined) line += `,"version":${JSON.stringify(version)}`
  if (cache !== undefined) line += `,"cache":"${cache}"`
  if (batchRows !== undefined) line += `,"batchRows":${batchRows}`
  if (summary.trace !== undefined) line += `,"traceId":"${summary.trace.traceId}"`
  line += `,"bytesIn":${summary.bytesIn},"bytesOut":${summary.bytesOut},"durationMs":${milliseconds(summary.durationMs)}`
  if (timings === undefined) return line
  for (const phase of PHASES) {
    const ms = timings[phase]
    if (ms !== undefined) line += `,"${phase}Ms":${milliseconds(ms)}`
  }
  return line
}

function milliseconds(ms: number): number {
  return Math.round(ms * 1000) / 1000
}
