import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import type { ClassName, Family } from '../../../../loadtest/models/index.ts'
import { CLASS_NAMES, modelBytes, modelClass, Rng } from '../../../../loadtest/models/index.ts'

/** What the issue of a class asks for, in bytes, and how far a class may be from it. */
const SIZES: Readonly<Record<ClassName, number>> = { XS: 75e3, S: 5e6, M: 90e6, Q: 23e6, R: 102e6, L: 10e6, T: 4.1e6 }

describe('recipes', () => {
  for (const name of CLASS_NAMES) {
    it(`class ${name} is of its size and differs by customer and seed only`, () => {
      const digest = (customer: number, seed: number): string => {
        const bytes = modelBytes(modelClass(name).build({ customer, seed, family: 'full' }))
        assert.ok(Math.abs(bytes.byteLength - SIZES[name]) < 0.03 * SIZES[name], `${bytes.byteLength} bytes`)
        return createHash('sha1').update(bytes).digest('hex')
      }
      const first = digest(1, 1)
      assert.equal(digest(1, 1), first)
      assert.notEqual(digest(2, 1), first)
      assert.notEqual(digest(1, 2), first)
    })
  }

  const own: readonly (readonly [ClassName, Family, RegExp])[] = [
    ['XS', 'head', /^layer1\./],
    ['S', 'head', /^layer3\./],
    ['M', 'head', /^classifier\./],
    ['M', 'lora', /^classifier\.|\.lora_[ab]$/],
    ['Q', 'head', /^classifier\./],
    ['R', 'head', /^fc\./],
    ['L', 'head', /^out\./],
  ]
  for (const [name, family, pattern] of own) {
    it(`customers of ${name}/${family} share every tensor but ${pattern.source}`, () => {
      const zooClass = modelClass(name)
      const [one, two] = [1, 2].map((customer) => zooClass.build({ customer, family, seed: 1 }).graph.initializers)
      assert.ok(one && two)
      const differing = one.filter(({ data }, i) => {
        const other = two[i]?.data
        assert.ok(data.kind === 'raw' && other?.kind === 'raw')
        return Buffer.compare(data.bytes, other.bytes) !== 0
      })
      assert.deepEqual(
        differing.map((tensor) => tensor.name),
        one.filter((tensor) => pattern.test(tensor.name)).map((tensor) => tensor.name),
      )
      assert.ok(differing.length > 0)
    })
  }
})

describe('Rng', () => {
  it('gives the same numbers for the same seed, and the same ones alone or in bulk', () => {
    const bulk = new Rng('a', 1).fillBell(new Float32Array(3), 1)
    const alone = new Rng('a', 1)
    for (const value of bulk) {
      const draw = alone.uint32()
      const expected = ((draw >>> 16) + (draw & 0xffff) - 65_535) / (65_536 / Math.sqrt(6))
      assert.ok(Math.abs(value - expected) < 1e-6)
    }
  })

  it('tells seeds apart that read alike when joined', () => {
    assert.notEqual(new Rng('a', 11).uint32(), new Rng('a1', 1).uint32())
  })

  it('fills with the mean and the deviation asked for', () => {
    const values = new Rng('moments').fillBell(new Float32Array(100_000), 2)
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length
    assert.ok(Math.abs(mean) < 0.02, `mean ${mean}`)
    assert.ok(Math.abs(Math.sqrt(variance) - 2) < 0.02, `deviation ${Math.sqrt(variance)}`)
  })

  it('draws integers below a limit, all of them', () => {
    const rng = new Rng('below')
    const seen = new Set(Array.from({ length: 200 }, () => rng.below(5)))
    assert.deepEqual(seen, new Set([0, 1, 2, 3, 4]))
  })
})
