/**
 * May this request enter now? A pure function of what is inside.
 *
 * What one tenant may hold follows what is left (dynamic thresholds: Choudhury and Hahne, "Dynamic queue length thresholds for
 * shared-memory packet switches", 1998): alone it may fill 9/10 of the queue, and the more tenants crowd in, the less each may
 * hold, so that there is always room for one who has little inside.
 */
import { GatewayError } from '../domain/errors.ts'
import { formatByteSize } from '../lib/byte-size.ts'

export interface Held {
  readonly requests: number
  readonly bytes: number
}

/** What is inside: in all, of the request's tenant, of its model. */
export interface Occupation {
  readonly total: Held
  readonly tenant: Held
  readonly model: Held
}

export interface AdmissionLimits {
  readonly maxQueuedRequests: number
  readonly maxQueuedBytes: number
  readonly maxQueuedPerModel: number
}

export interface AdmissionQuestion {
  readonly held: Occupation
  readonly limits: AdmissionLimits
  readonly isDraining: boolean
  /** The request's body. */
  readonly bytes: number
  readonly tenant: string
  /** When that many requests will have been worked off, in milliseconds from now, as measured. */
  readonly retryAfterMs: (requests: number) => number
}

/** A tenant may hold this many times what is left. */
const TIMES_WHAT_IS_LEFT = 9

/** @returns undefined when the request may enter, else the error to answer with (DRAINING or OVERLOADED) */
export function admissionRefusal(question: AdmissionQuestion): GatewayError | undefined {
  const { held, limits, bytes, tenant } = question
  const { total, model } = held
  if (question.isDraining) return new GatewayError('DRAINING', 'this server is shutting down; ask another one')
  const requestsLeft = limits.maxQueuedRequests - total.requests
  // A body that is larger than all of the queue may still come in alone.
  const bytesLeft = total.requests === 0 ? Math.max(limits.maxQueuedBytes, bytes) : limits.maxQueuedBytes - total.bytes
  if (requestsLeft < 1) {
    return overloaded(question, total.requests, `${total.requests} requests wait already`, limits.maxQueuedRequests)
  }
  if (bytesLeft < bytes) {
    const inside = `request bodies of ${formatByteSize(total.bytes)} wait already, no room for ${formatByteSize(bytes)} more`
    return overloaded(question, total.requests, inside, limits.maxQueuedBytes)
  }
  if (model.requests >= limits.maxQueuedPerModel) {
    const inside = `${model.requests} requests wait for this model already`
    return overloaded(question, model.requests, inside, limits.maxQueuedPerModel)
  }
  if (isOverShare(held.tenant.requests, requestsLeft) || isOverShare(held.tenant.bytes, bytesLeft)) {
    const inside = `${held.tenant.requests} requests of '${tenant}' wait already and little room is left for others`
    return overloaded(question, held.tenant.requests, inside, limits.maxQueuedRequests)
  }
  return undefined
}

function isOverShare(held: number, left: number): boolean {
  return held > 0 && held >= TIMES_WHAT_IS_LEFT * left
}

function overloaded(question: AdmissionQuestion, ahead: number, inside: string, limit: number): GatewayError {
  return new GatewayError('OVERLOADED', `${inside}; come back later`, {
    retryAfterMs: question.retryAfterMs(ahead),
    details: { limit, tenant: question.tenant },
  })
}
