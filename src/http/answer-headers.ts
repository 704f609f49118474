/** Headers of an inference's answer, as the flat list that Node writes without copying. */

import type { ErrorFacts } from '../domain/errors.ts'
import type { PhaseTimings } from '../domain/phases.ts'
import { PHASES } from '../domain/phases.ts'
import type { InferAnswer } from '../routing/gateway.ts'

export function answerHeaders(answer: InferAnswer, requestId: string): string[] {
  const { body, jsonBytes, served } = answer
  const headers = [
    'content-type',
    jsonBytes === undefined ? 'application/json' : 'application/octet-stream',
    'content-length',
    String(body.length),
    'x-request-id',
    requestId,
    'x-modelmux-model',
    headerText(served.model),
    'x-modelmux-version',
    served.version,
    'x-modelmux-replica',
    headerText(served.replica),
    'x-modelmux-cache',
    served.cache,
  ]
  if (jsonBytes !== undefined) headers.push('inference-header-content-length', String(jsonBytes))
  const timing = serverTiming(served.timings)
  if (timing !== '') headers.push('server-timing', timing)
  return headers
}

/** Headers that say which model an error concerns, who answers, and what the cache did, as far as the error knows. */
export function servedHeaders({
  model,
  version,
  replica,
  cache,
}: Pick<ErrorFacts, 'model' | 'version' | 'replica' | 'cache'>): string[] {
  const headers: string[] = []
  if (model !== undefined) headers.push('x-modelmux-model', headerText(model))
  if (version !== undefined) headers.push('x-modelmux-version', headerText(version))
  if (replica !== undefined) headers.push('x-modelmux-replica', headerText(replica))
  if (cache !== undefined) headers.push('x-modelmux-cache', headerText(cache))
  return headers
}

/** The phases that a request went through, in their order: `queue;dur=0.51, run;dur=2.003` (milliseconds). */
export function serverTiming(timings: PhaseTimings): string {
  let text = ''
  for (const phase of PHASES) {
    const ms = timings[phase]
    if (ms === undefined) continue
    text += `${text === '' ? '' : ', '}${phase};dur=${Math.round(ms * 1000) / 1000}`
  }
  return text
}

/** A name fit for a header: what is not printable ASCII, percent-encoded UTF-8. Names hold no `%` of their own. */
export function headerText(text: string): string {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code < 0x20 || code > 0x7e) return text.replace(/[^\x20-\x7e]+/gu, encodeURIComponent)
  }
  return text
}
