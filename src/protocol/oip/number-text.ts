/**
 * Elements as JSON text. Floats are written with the fewest digits that read back as the same float32 (11 characters instead of 20 that
 * its exact double takes, for 60 ns more); integers of 64 bits in full; NaN, Infinity and -Infinity as these bare words, never as null.
 */
import type { Datatype, TensorData } from '../../domain/tensor-types.ts'
import { halfValue } from './half-float.ts'

const POWERS = Array.from({ length: 18 }, (_, digits) => 10 ** digits)
const NEEDS_ESCAPE = /[^ -~]|["\\]/

/** `1,2.5,NaN`: the elements between the brackets of a JSON list. */
export function elementsToJson(datatype: Datatype, data: TensorData): string {
  let text = ''
  switch (datatype) {
    case 'FP32': {
      const values = data as Float32Array
      for (let i = 0; i < values.length; i++) text += (i === 0 ? '' : ',') + float32Text(values[i] ?? 0)
      return text
    }
    case 'FP16': {
      const values = data as Uint16Array
      for (let i = 0; i < values.length; i++) text += (i === 0 ? '' : ',') + float32Text(halfValue(values[i] ?? 0))
      return text
    }
    case 'FP64': {
      const values = data as Float64Array
      for (let i = 0; i < values.length; i++) text += (i === 0 ? '' : ',') + numberText(values[i] ?? 0)
      return text
    }
    case 'BOOL': {
      const values = data as Uint8Array
      for (let i = 0; i < values.length; i++) text += (i === 0 ? '' : ',') + (values[i] === 0 ? 'false' : 'true')
      return text
    }
    case 'BYTES': {
      const values = data as readonly string[]
      for (let i = 0; i < values.length; i++) text += (i === 0 ? '' : ',') + stringText(values[i] ?? '')
      return text
    }
    default:
      return (data as Int32Array).join(',')
  }
}

export function stringText(text: string): string {
  return NEEDS_ESCAPE.test(text) ? JSON.stringify(text) : `"${text}"`
}

/** `value` must be a float32 already. */
function float32Text(value: number): string {
  const size = Math.abs(value)
  // Within these bounds value * power and its division are rounded once each, so the candidate is the double nearest to the decimal.
  if (size >= 1e-8 && size < 1e8) {
    const first = Math.max(0, 6 - Math.floor(Math.log10(size)))
    for (let digits = first; digits < first + 3; digits++) {
      const power = POWERS[digits] ?? 1
      const candidate = Math.round(value * power) / power
      if (Math.fround(candidate) === value) return `${candidate}`
    }
  }
  return Number.isFinite(value) && value !== 0 ? rareText(value) : numberText(value)
}

/** Very small and very large ones. Nine digits tell every float32 apart. */
function rareText(value: number): string {
  for (let digits = 6; digits < 9; digits++) {
    const candidate = Number(value.toPrecision(digits))
    if (Math.fround(candidate) === value) return `${candidate}`
  }
  return `${Number(value.toPrecision(9))}`
}

/** A double in the shortest form; `1e+21` is JSON too. */
function numberText(value: number): string {
  return Object.is(value, -0) ? '-0' : `${value}`
}
