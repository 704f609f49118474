/** Targets with a fault each, to see that it is found. The fault takes one byte value in one place, among inputs of eight bytes. */
import { mutateBytes } from '../mutate-bytes.ts'
import type { FuzzTarget } from '../target.ts'

const SEED = Buffer.from('modelmux')
const FAULTY = 0x2a

export const PLANTED: readonly FuzzTarget[] = [
  planted('planted-throw', () => {
    throw new TypeError('planted')
  }),
  planted('planted-hang', () => {
    for (let i = 0; i < Number.POSITIVE_INFINITY; i++) if (i < 0) return
  }),
  planted('planted-memory', () => {
    return new Uint8Array(64 * 2 ** 20)
  }),
  planted('planted-death', () => process.exit(3)),
]

function planted(name: string, fault: () => unknown): FuzzTarget {
  return {
    name,
    share: 1,
    refusals: new Set(),
    make: (dice) => mutateBytes(dice, SEED, SEED),
    run(input) {
      if (input.length >= SEED.length && input[3] === FAULTY) return fault()
      return undefined
    },
  }
}
