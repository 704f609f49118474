/** Turns a tensor's typed fields (`float_data`, `int32_data`, ...) into raw little-endian bytes. */
import { bitsOf, TENSOR } from './onnx-fields.ts'
import type { TensorHeader } from './walk-tensor.ts'
import type { ByteWindow } from './wire.ts'
import { FieldCursor, packedVarints, WIRE } from './wire.ts'

/** Raw bytes of the tensor in the message [start, end), or undefined for what has no raw form of whole bytes. @throws WireError */
export function rawFromTyped(window: ByteWindow, start: number, end: number, tensor: TensorHeader): Buffer | undefined {
  const bits = bitsOf(tensor.dataType)
  if (tensor.bytes === undefined || bits === undefined || bits < 8) return undefined
  const raw = Buffer.alloc(tensor.bytes)
  let at = 0
  const field = new FieldCursor(window, start, end)
  while (field.next()) {
    if (field.number === TENSOR.floatData || field.number === TENSOR.doubleData) {
      // Packed or one by one, these are little-endian already; complex numbers are pairs of them.
      window.slice(field.payload, field.end).copy(raw, at)
      at += field.end - field.payload
    } else if (
      field.number === TENSOR.int32Data ||
      field.number === TENSOR.int64Data ||
      field.number === TENSOR.uint64Data
    ) {
      const values =
        field.wire === WIRE.varint ? [BigInt(field.value)] : packedVarints(window, field.payload, field.end)
      for (const value of values) {
        writeInt(raw, at, bits / 8, value)
        at += bits / 8
      }
    }
  }
  return at === raw.length ? raw : undefined
}

function writeInt(into: Buffer, at: number, bytes: number, value: bigint): void {
  if (at + bytes > into.length) return
  if (bytes === 8) into.writeBigUInt64LE(BigInt.asUintN(64, value), at)
  else into.writeUIntLE(Number(BigInt.asUintN(8 * bytes, value)), at, bytes)
}
