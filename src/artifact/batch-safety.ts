/**
 * May requests of a model be stacked along dimension 0? Only if the signature says that dimension is one and the same batch
 * everywhere, no operator mixes rows, and random rows get the answers alone that they get in company and in another order.
 */
import type { Signature, Tensor } from '../domain/tensor-types.ts'
import type { EngineSession } from '../engine/session.ts'
import { differenceOf, SAME_ROWS } from './compare.ts'
import { Random } from './random.ts'
import { sampleRows } from './sample-rows.ts'
import { permuteRows, sliceRow, stackRows } from './tensor-rows.ts'

/** Rows of the three draws: even, odd, and more than kernels unroll by. */
export const DRAW_ROWS = [2, 3, 5] as const

export interface BatchVerdict {
  readonly isBatchSafe: boolean
  readonly batchReason: string
}

/** Why the signature alone forbids stacking, or undefined. */
export function signatureHazard({ inputs, outputs }: Signature): string | undefined {
  if (inputs.length === 0) return 'the model has no inputs'
  const symbol = inputs[0]?.shape[0]
  for (const spec of [...inputs, ...outputs]) {
    const first = spec.shape[0]
    if (typeof first !== 'string')
      return `dimension 0 of '${spec.name}' is ${first === undefined ? 'absent' : first === -1 ? 'unnamed' : `fixed at ${first}`}`
    if (first !== symbol) return `dimension 0 of '${spec.name}' is '${first}', not '${String(symbol)}'`
  }
  return undefined
}

/** `template`: inputs that the model is known to run on, any number of rows. */
export async function judgeBatchSafety(
  session: EngineSession,
  signature: Signature,
  hazards: readonly string[],
  template: readonly Tensor[] | undefined,
): Promise<BatchVerdict> {
  const hazard = signatureHazard(signature) ?? hazards[0]
  if (hazard !== undefined) return { isBatchSafe: false, batchReason: hazard }
  if (template === undefined) return { isBatchSafe: false, batchReason: 'no inputs could be made to try it with' }
  const random = new Random(DRAW_ROWS.length)
  for (const rows of DRAW_ROWS) {
    const problem = await drawProblem(session, template, rows, random)
    if (problem !== undefined) return { isBatchSafe: false, batchReason: problem }
  }
  return { isBatchSafe: true, batchReason: `rows agree in draws of ${DRAW_ROWS.join(', ')}` }
}

async function drawProblem(
  session: EngineSession,
  template: readonly Tensor[],
  rows: number,
  random: Random,
): Promise<string | undefined> {
  const inputs = sampleRows(template, rows, random)
  const order = shuffled(rows, random)
  try {
    const stacked = await session.run(inputs)
    const short = stacked.find((output) => output.shape[0] !== rows)
    if (short !== undefined) return `output '${short.name}' has ${short.shape[0] ?? 'no'} rows for ${rows}`
    const alone: Tensor[][] = []
    for (let row = 0; row < rows; row++) alone.push(await session.run(inputs.map((input) => sliceRow(input, row))))
    const joined = stackRows(alone)
    if (joined === undefined) return `rows alone give outputs of different shapes`
    const difference = differenceOf(stacked, joined, SAME_ROWS)
    if (difference !== undefined) return `${rows} rows stacked answer otherwise than alone: ${difference}`
    const permuted = await session.run(inputs.map((input) => permuteRows(input, order)))
    const moved = differenceOf(
      permuted,
      stacked.map((output) => permuteRows(output, order)),
      SAME_ROWS,
    )
    return moved === undefined ? undefined : `${rows} rows answer otherwise in another order: ${moved}`
  } catch (error) {
    return `a run of ${rows} rows fails: ${error instanceof Error ? error.message : String(error)}`
  }
}

/** 0 .. count - 1 in an order that is not the identity. */
function shuffled(count: number, random: Random): number[] {
  const order = Array.from({ length: count }, (_, i) => i)
  for (let i = count - 1; i > 0; i--) {
    const j = random.below(i + 1)
    const swapped = order[i] ?? 0
    order[i] = order[j] ?? 0
    order[j] = swapped
  }
  return order.every((value, i) => value === i) ? order.toReversed() : order
}
