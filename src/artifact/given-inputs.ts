/** Requests that were given, as tensors. One that does not fit the model is no reason to refuse the model: it is passed over. */
import { GatewayError } from '../domain/errors.ts'
import type { Signature, Tensor } from '../domain/tensor-types.ts'
import { asInferenceRequest } from '../protocol/oip/plain-example.ts'
import { RequestReader } from '../protocol/oip/request.ts'

/** A request as a client sent it, in a form that JSON carries. */
export interface SentRequest {
  /** The whole body, base64. */
  readonly body: string
  /** Length of its JSON part where tensors follow in binary. */
  readonly jsonBytes?: number
}

export interface GivenRequests {
  /** The owner's: OIP inference requests in JSON, or examples as MLflow keeps them. */
  readonly warmUp: readonly unknown[]
  readonly sent?: SentRequest
}

export function decodeGiven({ warmUp, sent }: GivenRequests, signature: Signature): (readonly Tensor[])[] {
  const bodies: { body: Buffer; jsonBytes?: number | undefined }[] = warmUp.map((request) => ({
    body: Buffer.from(JSON.stringify(asInferenceRequest(request, signature))),
  }))
  if (sent !== undefined) bodies.unshift({ body: Buffer.from(sent.body, 'base64'), jsonBytes: sent.jsonBytes })
  if (bodies.length === 0) return []
  const reader = new RequestReader(signature)
  return bodies.flatMap(({ body, jsonBytes }) => {
    try {
      return [reader.read(body, jsonBytes).inputs]
    } catch (error) {
      if (error instanceof GatewayError) return []
      throw error
    }
  })
}
