/** How this room says no to a model. */
import { GatewayError } from '../domain/errors.ts'
import type { ErrorFacts } from '../domain/errors.ts'

/** The model file itself is at fault: the message says what is wrong with it and how to put it right. */
export function refusal(message: string, details?: NonNullable<ErrorFacts['details']>, cause?: unknown): GatewayError {
  return new GatewayError(
    'ARTIFACT_INVALID',
    message,
    details === undefined ? {} : { details },
    cause === undefined ? {} : { cause },
  )
}
