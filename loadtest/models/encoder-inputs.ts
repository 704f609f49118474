import { VOCABULARY } from './encoder-weights.ts'
import type { Rng } from './random.ts'
import type { NamedTensor } from './tensor.ts'
import { int64Tensor } from './tensor.ts'

/** Shortest text of a sample, in tokens. */
const MIN_TOKENS = 4

/** `batch` texts of 4 to `tokens` tokens, padded with id 0 and mask 0 to `tokens`; the first text is of full length. */
export function encoderInputs(rng: Rng, batch: number, tokens: number): NamedTensor[] {
  const ids = new BigInt64Array(batch * tokens)
  const mask = new BigInt64Array(batch * tokens)
  for (let row = 0; row < batch; row += 1) {
    const length = row === 0 ? tokens : MIN_TOKENS + rng.below(tokens - MIN_TOKENS + 1)
    for (let i = row * tokens; i < row * tokens + length; i += 1) {
      ids[i] = BigInt(rng.below(VOCABULARY))
      mask[i] = 1n
    }
  }
  return [int64Tensor('input_ids', [batch, tokens], ids), int64Tensor('attention_mask', [batch, tokens], mask)]
}
