/** Seeded choices. A case is a function of the seed and its number alone, so each can be made again without those before it. */
import { seededRandom } from '../support/seeded-random.ts'

/** Odd, so that the numbers of cases spread over all seeds. */
const SPREAD = 0x9e3779b1

export class Dice {
  readonly #random: () => number

  constructor(seed: number, caseNumber = 0) {
    this.#random = seededRandom(seed ^ Math.imul(caseNumber + 1, SPREAD))
  }

  /** A whole number in [0, n). */
  below(n: number): number {
    return Math.floor(this.#random() * n)
  }

  chance(probability: number): boolean {
    return this.#random() < probability
  }

  pick<T>(list: readonly T[]): T {
    const item = list[this.below(list.length)]
    if (item === undefined) throw new Error('nothing to pick from')
    return item
  }

  /** 1 as a rule, rarely many: most findings take one change, some take several. */
  few(): number {
    let count = 1
    while (count < 12 && this.chance(0.4)) count++
    return count
  }

  /** A range [start, end) of `length`, short as a rule. */
  range(length: number): readonly [start: number, end: number] {
    const start = this.below(length + 1)
    const longest = length - start
    return [start, start + Math.min(longest, this.chance(0.8) ? this.below(9) : this.below(longest + 1))]
  }
}
