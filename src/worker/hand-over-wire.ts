/**
 * Hand-overs between parent and child: bodies travel as they are behind a compact head, little-endian.
 *
 *   to the child:  uint32 placement | uint32 count | count x { uint32 bodyBytes, uint32 jsonBytes } | bodies
 *   to the parent: float64 decodeMs, runMs, encodeMs | uint32 runs, rows, count |
 *                  count x { uint32 rows (0 = error), uint32 jsonBytes, uint32 bodyBytes } | bodies (an error's is its JSON)
 */
import { decodeError, encodeError } from '../child/calls.ts'
import type { GatewayError } from '../domain/errors.ts'
import type { EncodedResponse } from '../protocol/oip/response.ts'
import type { HandOverReport, HandOverTimes, WorkerAnswer, WorkerRequest } from './messages.ts'

const REQUEST_HEAD = 8
const REQUEST_ROW = 8
const REPLY_HEAD = 36
const REPLY_ROW = 12
/** Stands for "the whole body is JSON". */
const NO_JSON_BYTES = 0xffffffff
/** Rows are for statistics: a count past this must not take a whole hand-over with it. */
const MAX_ROWS = 0xffffffff
/** Up to here one copy is cheaper than many small writes to a socket. */
const JOIN_BYTES = 256 * 1024

/** One answer on the child's side. */
export type Outcome = { readonly response: EncodedResponse; readonly rows: number } | { readonly error: GatewayError }

export interface ReceivedRequest {
  readonly body: Buffer
  readonly jsonBytes?: number
}

export function encodeHandOver(placementId: number, requests: readonly WorkerRequest[]): readonly Uint8Array[] {
  const head = Buffer.allocUnsafe(REQUEST_HEAD + requests.length * REQUEST_ROW)
  head.writeUInt32LE(placementId, 0)
  head.writeUInt32LE(requests.length, 4)
  const parts: Buffer[] = [head]
  let at = REQUEST_HEAD
  let total = head.length
  for (const { body, bodyBytes, jsonBytes } of requests) {
    head.writeUInt32LE(bodyBytes, at)
    // A length past any body is refused by the child as such; here it must not take the other requests with it.
    head.writeUInt32LE(jsonBytes === undefined ? NO_JSON_BYTES : Math.min(jsonBytes, NO_JSON_BYTES - 1), at + 4)
    at += REQUEST_ROW
    total += bodyBytes
    for (const chunk of body) parts.push(chunk)
  }
  return total <= JOIN_BYTES ? [Buffer.concat(parts, total)] : parts
}

/** Bodies are views of `payload`. */
export function decodeHandOver(payload: Buffer): { placementId: number; requests: readonly ReceivedRequest[] } {
  const count = payload.readUInt32LE(4)
  const requests: ReceivedRequest[] = []
  let bodyAt = REQUEST_HEAD + count * REQUEST_ROW
  for (let i = 0; i < count; i++) {
    const row = REQUEST_HEAD + i * REQUEST_ROW
    const end = bodyAt + payload.readUInt32LE(row)
    const jsonBytes = payload.readUInt32LE(row + 4)
    const body = payload.subarray(bodyAt, end)
    requests.push(jsonBytes === NO_JSON_BYTES ? { body } : { body, jsonBytes })
    bodyAt = end
  }
  return { placementId: payload.readUInt32LE(0), requests }
}

export function encodeReply(times: HandOverTimes, outcomes: readonly Outcome[]): readonly Uint8Array[] {
  const head = Buffer.allocUnsafe(REPLY_HEAD + outcomes.length * REPLY_ROW)
  head.writeDoubleLE(times.decodeMs, 0)
  head.writeDoubleLE(times.runMs, 8)
  head.writeDoubleLE(times.encodeMs, 16)
  head.writeUInt32LE(times.runs, 24)
  head.writeUInt32LE(Math.min(times.rows, MAX_ROWS), 28)
  head.writeUInt32LE(outcomes.length, 32)
  const parts: Uint8Array[] = [head]
  let at = REPLY_HEAD
  let total = head.length
  for (const outcome of outcomes) {
    const first = parts.length
    const jsonBytes = pushBody(parts, outcome)
    let bodyBytes = 0
    for (let i = first; i < parts.length; i++) bodyBytes += parts[i]?.length ?? 0
    head.writeUInt32LE('error' in outcome ? 0 : Math.min(Math.max(1, outcome.rows), MAX_ROWS), at)
    head.writeUInt32LE(jsonBytes, at + 4)
    head.writeUInt32LE(bodyBytes, at + 8)
    at += REPLY_ROW
    total += bodyBytes
  }
  return total <= JOIN_BYTES ? [Buffer.concat(parts, total)] : parts
}

/** Gives the bytes of the JSON part where binary parts follow. */
function pushBody(parts: Uint8Array[], outcome: Outcome): number {
  if ('error' in outcome) {
    parts.push(encodeError(outcome.error))
    return NO_JSON_BYTES
  }
  const { json, binary } = outcome.response
  const text = Buffer.from(json)
  parts.push(text, ...binary)
  return binary.length === 0 ? NO_JSON_BYTES : text.length
}

/** Bodies are views of `payload`. */
export function decodeReply(payload: Buffer): HandOverReport {
  const count = payload.readUInt32LE(32)
  const answers: WorkerAnswer[] = []
  let bodyAt = REPLY_HEAD + count * REPLY_ROW
  for (let i = 0; i < count; i++) {
    const row = REPLY_HEAD + i * REPLY_ROW
    const rows = payload.readUInt32LE(row)
    const jsonBytes = payload.readUInt32LE(row + 4)
    const end = bodyAt + payload.readUInt32LE(row + 8)
    const body = payload.subarray(bodyAt, end)
    if (rows === 0) answers.push({ ok: false, error: decodeError(body) })
    else answers.push(jsonBytes === NO_JSON_BYTES ? { ok: true, body, rows } : { ok: true, body, jsonBytes, rows })
    bodyAt = end
  }
  return {
    decodeMs: payload.readDoubleLE(0),
    runMs: payload.readDoubleLE(8),
    encodeMs: payload.readDoubleLE(16),
    runs: payload.readUInt32LE(24),
    rows: payload.readUInt32LE(28),
    answers,
  }
}
