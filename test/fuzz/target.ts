/** What is fuzzed: a reader of bytes from outside, and a way to make inputs for it. */
import type { ErrorCode } from '../../src/domain/errors.ts'
import type { Dice } from './dice.ts'

export interface FuzzTarget {
  readonly name: string
  /** Of all cases of a run over every target: more for what is exposed more, less for what is slow. All shares add up to 1. */
  readonly share: number
  /** What the reader may refuse with; everything else that it throws is a finding. */
  readonly refusals: ReadonlySet<ErrorCode>
  /** A new input: a valid one with changes, as a rule. */
  make(dice: Dice): Buffer
  /**
   * Reads the input and checks what comes of it. @returns what a caller would keep of it
   * @throws GatewayError for an input that is refused, FuzzFailure for a result that cannot be right
   */
  run(input: Buffer): unknown
}

/** What was read is not what it must be. */
export class FuzzFailure extends Error {
  override readonly name = 'FuzzFailure'
}

export function demand(isSo: boolean, what: string): asserts isSo {
  if (!isSo) throw new FuzzFailure(what)
}
