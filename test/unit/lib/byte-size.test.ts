import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { formatByteSize, parseByteSize } from '../../../src/lib/byte-size.ts'

describe('parseByteSize', () => {
  it('reads numbers, decimal and binary units, fractions and blanks', () => {
    const sizes: Record<string, number> = {
      '0': 0,
      '1048576': 2 ** 20,
      '4GiB': 4 * 2 ** 30,
      ' 512 MiB ': 512 * 2 ** 20,
      '1.5GB': 1_500_000_000,
      '1.5 KiB': 1536,
      '7B': 7,
      '2kB': 2000,
    }
    for (const [text, bytes] of Object.entries(sizes)) assert.equal(parseByteSize(text), bytes, text)
  })

  it('refuses what is no size, rather than guess', () => {
    for (const text of [
      '',
      'GiB',
      '-1',
      '1e9',
      '4gib',
      '4 G i B',
      '0x10',
      '1,5GB',
      'Infinity',
      '9000000TiB',
      '5constructor',
    ]) {
      assert.equal(parseByteSize(text), undefined, text)
    }
  })
})

describe('formatByteSize', () => {
  it('writes the largest unit that leaves at least one of it', () => {
    const sizes: Array<[number, string]> = [
      [0, '0 B'],
      [1023, '1023 B'],
      [1024, '1.0 KiB'],
      [1536, '1.5 KiB'],
      [97.3 * 2 ** 20, '97 MiB'],
      [2 ** 50, '1024 TiB'],
      [-2048, '-2.0 KiB'],
    ]
    for (const [bytes, text] of sizes) assert.equal(formatByteSize(bytes), text)
  })

  it('never writes a number that belongs to the next unit', () => {
    assert.equal(formatByteSize(1023.6), '1.0 KiB')
    assert.equal(formatByteSize(1023.7 * 1024), '1.0 MiB')
    assert.equal(formatByteSize(9.97 * 1024), '10 KiB')
  })

  it('is read back within the precision it was written with', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 49 }), (bytes) => {
        const read = parseByteSize(formatByteSize(bytes)) ?? Number.NaN
        assert.ok(Math.abs(read - bytes) <= bytes * 0.06 + 0.5, `${bytes} became ${read}`)
      }),
    )
  })
})
