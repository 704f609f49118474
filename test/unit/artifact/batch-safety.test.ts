import assert from 'node:assert/strict'
import { test } from 'node:test'
import { signatureHazard } from '../../../src/artifact/batch-safety.ts'
import { differenceOf, halfToNumber, SAME_MODEL, SAME_ROWS } from '../../../src/artifact/compare.ts'
import { Random } from '../../../src/artifact/random.ts'
import { SAMPLE_STYLES, sampleInputs } from '../../../src/artifact/sample-inputs.ts'
import { sampleRows } from '../../../src/artifact/sample-rows.ts'
import { permuteRows, sliceRow, stackRows } from '../../../src/artifact/tensor-rows.ts'
import type { Datatype, Tensor, TensorSpec } from '../../../src/domain/tensor-types.ts'
import { DATATYPES } from '../../../src/domain/tensor-types.ts'

const spec = (name: string, shape: TensorSpec['shape']): TensorSpec => ({ name, datatype: 'FP32', shape })
const floats = (shape: readonly number[], ...values: number[]): Tensor => ({
  name: 'y',
  datatype: 'FP32',
  shape,
  data: Float32Array.from(values),
})

test('dimension 0 must be one symbol everywhere', () => {
  assert.equal(
    signatureHazard({ inputs: [spec('a', ['N', 2]), spec('b', ['N'])], outputs: [spec('y', ['N'])] }),
    undefined,
  )
  const cases: [TensorSpec[], TensorSpec[], RegExp][] = [
    [[spec('a', ['N']), spec('b', ['M'])], [spec('y', ['N'])], /'b' is 'M', not 'N'/],
    [[spec('a', ['N'])], [spec('y', [1])], /'y' is fixed at 1/],
    [[spec('a', [-1])], [spec('y', [-1])], /'a' is unnamed/],
    [[spec('a', ['N'])], [spec('y', [])], /'y' is absent/],
    [[], [spec('y', ['N'])], /no inputs/],
  ]
  for (const [inputs, outputs, says] of cases) assert.match(signatureHazard({ inputs, outputs }) ?? '', says)
})

test('rows cut and joined again are what they were, in any order', () => {
  const tensor = floats([3, 2], 1, 2, 3, 4, 5, 6)
  const rows = [0, 1, 2].map((row) => [sliceRow(tensor, row)])
  assert.deepEqual(stackRows(rows), [tensor])
  assert.deepEqual(permuteRows(tensor, [2, 0, 1]), floats([3, 2], 5, 6, 1, 2, 3, 4))
  assert.equal(stackRows([[floats([1, 2], 1, 2)], [floats([1, 3], 1, 2, 3)]]), undefined)
})

test('rows are compared within a fraction of what the output varies by', () => {
  const want = floats([4], 1, 2, 3, 4)
  assert.equal(differenceOf([floats([4], 1.00005, 2, 3, 4)], [want], SAME_ROWS), undefined)
  assert.match(differenceOf([floats([4], 1.01, 2, 3, 4)], [want], SAME_ROWS) ?? '', /element 0/)
  assert.match(differenceOf([floats([2, 2], 1, 2, 3, 4)], [want], SAME_ROWS) ?? '', /shape/)
  assert.match(differenceOf([], [want], SAME_ROWS) ?? '', /0 outputs/)
})

test('NaN equals NaN only, infinities only themselves, integers only themselves', () => {
  const nan = floats([2], Number.NaN, 1)
  assert.equal(differenceOf([nan], [nan], SAME_MODEL), undefined)
  assert.notEqual(differenceOf([floats([2], 0, 1)], [nan], SAME_MODEL), undefined)
  assert.notEqual(differenceOf([floats([1], Number.POSITIVE_INFINITY)], [floats([1], 1e30)], SAME_MODEL), undefined)
  const ints = (value: bigint): Tensor => ({ name: 'y', datatype: 'INT64', shape: [1], data: BigInt64Array.of(value) })
  assert.notEqual(differenceOf([ints(1_000_000n)], [ints(1_000_001n)], SAME_MODEL), undefined)
})

test('half precision is compared as numbers', () => {
  assert.deepEqual([0x3c00, 0xc000, 0x7c00, 0x0001].map(halfToNumber), [1, -2, Number.POSITIVE_INFINITY, 2 ** -24])
  const half = (bits: number): Tensor => ({ name: 'y', datatype: 'FP16', shape: [1], data: Uint16Array.of(bits) })
  assert.equal(differenceOf([half(0x3c00)], [half(0x3c01)], SAME_MODEL), undefined)
  assert.notEqual(differenceOf([half(0x3c00)], [half(0x3d00)], SAME_MODEL), undefined)
})

test('made-up inputs give equal symbols equal sizes, and the same values every time', () => {
  const signature = { inputs: [spec('a', ['N', 'T', 3]), spec('b', ['N', 'T'])], outputs: [] }
  for (const style of SAMPLE_STYLES.drawn) {
    const [a, b] = sampleInputs(signature, style, new Random(1)) ?? []
    assert.deepEqual(a?.shape.slice(0, 2), b?.shape)
    assert.equal(a?.shape[2], 3)
    assert.deepEqual(sampleInputs(signature, style, new Random(1))?.[0], a)
  }
  assert.equal(
    sampleInputs(
      { inputs: [spec('a', [2 ** 20, 2 ** 20])], outputs: [] },
      { rows: 1, free: 1, values: 1 },
      new Random(1),
    ),
    undefined,
  )
})

/** Where a one is not the number. */
const ONES: Partial<Record<Datatype, unknown>> = { BYTES: '1', FP16: 0x3c00 }

test('made-up ones are ones of every type, and are what is left when nothing may be drawn', () => {
  const types = Object.keys(DATATYPES) as Datatype[]
  const signature = { inputs: types.map((datatype) => ({ ...spec(datatype, [2]), datatype })), outputs: [] }
  for (const style of SAMPLE_STYLES.ones) {
    for (const { datatype, data } of sampleInputs(signature, style, new Random(1)) ?? []) {
      const one = data instanceof BigInt64Array || data instanceof BigUint64Array ? 1n : ONES[datatype]
      assert.deepEqual([...data], [one ?? 1, one ?? 1], datatype)
    }
  }
  assert.deepEqual(SAMPLE_STYLES.none, [])
})

test('random rows keep to the values that ids and masks had', () => {
  const ids: Tensor = { name: 'ids', datatype: 'INT64', shape: [1, 3], data: BigInt64Array.of(7n, 9n, 9n) }
  const [drawn] = sampleRows([ids], 5, new Random(1))
  assert.deepEqual(drawn?.shape, [5, 3])
  const data = drawn?.data
  assert.ok(data instanceof BigInt64Array && data.every((id) => id === 7n || id === 9n))
})
