/** The owner's warm-up requests as tensors. One that does not fit the model is no reason to refuse the model: it is passed over. */
import { GatewayError } from '../domain/errors.ts'
import type { Signature, Tensor } from '../domain/tensor-types.ts'
import { RequestReader } from '../protocol/oip/request.ts'

/** `warmUp`: OIP inference requests in JSON. */
export function decodeGiven(warmUp: readonly unknown[], signature: Signature): (readonly Tensor[])[] {
  if (warmUp.length === 0) return []
  const reader = new RequestReader(signature)
  return warmUp.flatMap((request) => {
    try {
      return [reader.read(Buffer.from(JSON.stringify(request))).inputs]
    } catch (error) {
      if (error instanceof GatewayError) return []
      throw error
    }
  })
}
