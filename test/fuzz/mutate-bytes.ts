/** Changes to bytes without knowing what they mean. */
import type { Dice } from './dice.ts'

const ODD_BYTES = [0x00, 0x01, 0x7f, 0x80, 0xff, 0x22, 0x5b, 0x5d, 0x7b, 0x7d, 0x2c, 0x25, 0x0a, 0x0d]
const ODD_INTEGERS = [
  0n,
  1n,
  0x7fn,
  0x80n,
  0xffffn,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 1n,
]
const ODD_NUMBERS = [
  '-1',
  '0',
  '1.5',
  '1e999',
  '-0',
  '4294967296',
  '9007199254740993',
  '99999999999999999999',
  '0x10',
  '+1',
  '',
]

type Change = (dice: Dice, bytes: Buffer, other: Buffer) => Buffer

const CHANGES: readonly Change[] = [
  function flipBit(dice, bytes) {
    const copy = Buffer.from(bytes)
    const at = dice.below(copy.length)
    copy[at] = (copy[at] ?? 0) ^ (1 << dice.below(8))
    return copy
  },
  function setByte(dice, bytes) {
    const copy = Buffer.from(bytes)
    copy[dice.below(copy.length)] = dice.chance(0.5) ? dice.pick(ODD_BYTES) : dice.below(256)
    return copy
  },
  function setInteger(dice, bytes) {
    const integer = Buffer.alloc(8)
    integer.writeBigUInt64LE(dice.pick(ODD_INTEGERS))
    const copy = Buffer.from(bytes)
    integer.copy(copy, dice.below(copy.length), 0, dice.pick([2, 4, 8]))
    return copy
  },
  function remove(dice, bytes) {
    const [start, end] = dice.range(bytes.length)
    return Buffer.concat([bytes.subarray(0, start), bytes.subarray(end)])
  },
  function repeat(dice, bytes) {
    const [start, end] = dice.range(bytes.length)
    const copies = Array.from({ length: 1 + dice.below(4) }, () => bytes.subarray(start, end))
    return Buffer.concat([bytes.subarray(0, end), ...copies, bytes.subarray(end)])
  },
  function insert(dice, bytes) {
    const at = dice.below(bytes.length + 1)
    const some = Buffer.from(Array.from({ length: 1 + dice.below(8) }, () => dice.below(256)))
    return Buffer.concat([bytes.subarray(0, at), some, bytes.subarray(at)])
  },
  function cut(dice, bytes) {
    return bytes.subarray(0, dice.below(bytes.length + 1))
  },
  function splice(dice, bytes, other) {
    const [start, end] = dice.range(other.length)
    const at = dice.below(bytes.length + 1)
    return Buffer.concat([bytes.subarray(0, at), other.subarray(start, end), bytes.subarray(at)])
  },
  function replaceNumber(dice, bytes) {
    const text = bytes.toString('latin1')
    const numbers = [...text.matchAll(/-?[0-9]+(?:\.[0-9]+)?/g)]
    if (numbers.length === 0) return bytes
    const { index, 0: number } = dice.pick(numbers)
    return Buffer.from(text.slice(0, index) + dice.pick(ODD_NUMBERS) + text.slice(index + number.length), 'latin1')
  },
]

/** `other`: an input to take pieces from. */
export function mutateBytes(dice: Dice, bytes: Buffer, other: Buffer): Buffer {
  let changed = bytes
  for (let left = dice.few(); left > 0 && changed.length > 0; left--) changed = dice.pick(CHANGES)(dice, changed, other)
  return changed
}
