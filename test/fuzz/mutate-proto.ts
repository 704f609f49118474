/**
 * Changes to a protobuf message as the tree it may be: fields are dropped, repeated, moved, renumbered and given odd values, and the
 * lengths around them are made right again, so that a reader gets past the first byte that is wrong.
 */
import type { Dice } from './dice.ts'

interface Field {
  number: number
  wire: number
  /** Of a varint. */
  value: bigint
  /** Of the other wire types. */
  bytes: Buffer
  /** Of a length-delimited field whose bytes can be read as a message. */
  fields: Field[] | undefined
  /** Added to the length that is written. */
  lie: number
}

const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const
const ODD_VALUES = [
  0n,
  1n,
  2n,
  7n,
  8n,
  13n,
  26n,
  127n,
  2n ** 31n,
  2n ** 32n,
  2n ** 53n,
  2n ** 62n,
  2n ** 63n,
  2n ** 64n - 1n,
]
const ODD_TEXTS = [
  '',
  '..',
  '../x',
  '/etc/passwd',
  '\0',
  'a/../b',
  '__proto__',
  'constructor',
  'location',
  'offset',
  '-1',
  'Loop',
  'EPContext',
  'axes',
]
const DEEPEST = 200
/** Changes multiply: what has grown to this is left as it is. */
const MAX_FIELDS = 3000

type Change = (dice: Dice, message: Field[], all: readonly Field[]) => void

const CHANGES: readonly Change[] = [
  function drop(dice, message) {
    message.splice(dice.below(message.length), 1)
  },
  function repeat(dice, message) {
    const copies = Array.from({ length: 1 + dice.below(3) }, () => copyOf(dice.pick(message)))
    message.push(...copies)
  },
  function transplant(dice, message, all) {
    message.splice(dice.below(message.length + 1), 0, copyOf(dice.pick(all)))
  },
  function renumber(dice, message) {
    dice.pick(message).number = dice.chance(0.9) ? 1 + dice.below(26) : dice.pick([0, 2 ** 28, 2 ** 29 - 1])
  },
  function rewire(dice, message) {
    dice.pick(message).wire = dice.pick([0, 1, 2, 3, 5, 6, 7])
  },
  function odd(dice, message) {
    const field = dice.pick(message)
    if (field.wire === WIRE.varint) field.value = dice.pick(ODD_VALUES)
    else replaceBytes(field, Buffer.from(dice.pick(ODD_TEXTS)))
  },
  function scribble(dice, message) {
    const field = dice.pick(message)
    if (field.wire === WIRE.bytes)
      replaceBytes(field, Buffer.from(Array.from({ length: dice.below(12) }, () => dice.below(256))))
  },
  function lie(dice, message) {
    dice.pick(message).lie = dice.pick([-1, 1, 100, 2 ** 31, 2 ** 53, -(2 ** 31)])
  },
  function nest(dice, message) {
    const field = dice.pick(message)
    const numbers = dice.pick([[1, 5, 6], [7, 1, 5, 6], [1, 5, 11], [field.number]])
    let fields = [copyOf(field)]
    for (let depth = dice.below(DEEPEST); depth > 0; depth--)
      fields = [{ ...empty(numbers[depth % numbers.length] ?? 1), fields }]
    message.push(...fields)
  },
  function flood(dice, message) {
    const field = dice.pick(message)
    message.push(...Array.from({ length: dice.below(400) }, () => copyOf(field)))
  },
]

export function mutateProto(dice: Dice, bytes: Buffer): Buffer {
  const tree = fieldsOf(bytes) ?? []
  for (let left = dice.few(); left > 0; left--) {
    const all = tree.flatMap((field) => [...within(field, 0)])
    if (all.length > MAX_FIELDS) break
    const messages = [tree, ...all.flatMap(({ fields }) => (fields === undefined ? [] : [fields]))]
    const message = dice.pick(
      messages.filter((fields) => fields.length > 0).concat(tree.length > 0 ? [] : [[empty(1)]]),
    )
    dice.pick(CHANGES)(dice, message, all.length > 0 ? all : message)
  }
  return encode(tree)
}

function replaceBytes(field: Field, bytes: Buffer): void {
  field.fields = undefined
  field.bytes = bytes
}

/** Lest a message be put into itself. */
function copyOf(field: Field): Field {
  return { ...field, fields: field.fields?.map(copyOf) }
}

function empty(number: number): Field {
  return { number, wire: WIRE.bytes, value: 0n, bytes: Buffer.alloc(0), fields: undefined, lie: 0 }
}

/** The fields below a field and itself, as deep as models go: what was nested far deeper is left alone. */
function* within(field: Field, depth: number): Generator<Field> {
  yield field
  if (depth < 12) for (const inner of field.fields ?? []) yield* within(inner, depth + 1)
}

/** Undefined for bytes that are no message. */
function fieldsOf(bytes: Buffer): Field[] | undefined {
  const fields: Field[] = []
  let at = 0
  const varint = (): bigint | undefined => {
    let value = 0n
    for (let shift = 0n; shift < 70n && at < bytes.length; shift += 7n) {
      const byte = bytes[at++] ?? 0
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
    return undefined
  }
  while (at < bytes.length) {
    const tag = varint()
    if (tag === undefined || tag < 8n || tag > 0xffff_ffffn) return undefined
    const field = { ...empty(Number(tag >> 3n)), wire: Number(tag & 7n) }
    if (field.wire === WIRE.varint) {
      const value = varint()
      if (value === undefined) return undefined
      field.value = value
    } else {
      const length =
        field.wire === WIRE.fixed64
          ? 8n
          : field.wire === WIRE.fixed32
            ? 4n
            : field.wire === WIRE.bytes
              ? varint()
              : undefined
      if (length === undefined || BigInt(at) + length > BigInt(bytes.length)) return undefined
      field.bytes = bytes.subarray(at, at + Number(length))
      at += Number(length)
      if (field.wire === WIRE.bytes && length > 0n) field.fields = fieldsOf(field.bytes)
    }
    fields.push(field)
  }
  return fields
}

function encode(fields: readonly Field[]): Buffer {
  const parts: Buffer[] = []
  for (const { number, wire, value, bytes, fields: inner, lie } of fields) {
    parts.push(varintBytes(BigInt(number) * 8n + BigInt(wire)))
    if (wire === WIRE.varint) parts.push(varintBytes(value))
    else {
      const payload = inner === undefined ? bytes : encode(inner)
      if (wire === WIRE.bytes) parts.push(varintBytes(BigInt.asUintN(64, BigInt(payload.length + lie))))
      parts.push(payload)
    }
  }
  return Buffer.concat(parts)
}

function varintBytes(value: bigint): Buffer {
  const bytes: number[] = []
  let rest = value
  while (rest >= 0x80n) {
    bytes.push(Number(rest & 0x7fn) | 0x80)
    rest >>= 7n
  }
  bytes.push(Number(rest))
  return Buffer.from(bytes)
}
