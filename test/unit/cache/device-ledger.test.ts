import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { DeviceLedger } from '../../../src/cache/device-ledger.ts'
import { manifest } from '../../support/manifest.ts'
import { seededRandom } from '../../support/seeded-random.ts'

const MiB = 2 ** 20
const of = (artifact: string, bytes: number) =>
  manifest(artifact, { blobs: [{ digest: artifact, bytes }], graph: { digest: '', bytes: 0 } })

describe("a GPU's ledger", () => {
  it('expects weights and a quarter of them until the driver has told, and then what it told', () => {
    const ledger = new DeviceLedger(1000 * MiB)
    assert.equal(ledger.expectedBytes(of('a', 100 * MiB)), 125 * MiB)
    assert.equal(ledger.expectedBytes(of('b', MiB)), 5 * MiB)
    assert.equal(ledger.isKnown('a'), false)
    ledger.learn('a', 160 * MiB)
    assert.equal(ledger.expectedBytes(of('a', 100 * MiB)), 200 * MiB)
  })

  it('is raised by what was missing, at most to twice of what it was and never past the budget', () => {
    const ledger = new DeviceLedger(18 * MiB)
    const model = of('a', MiB)
    assert.equal(ledger.raise(model, MiB), 6 * MiB)
    assert.equal(ledger.raise(model, undefined), 7.5 * MiB)
    assert.equal(ledger.raise(model, 2 ** 50), 15 * MiB)
    assert.equal(ledger.raise(model, 2 ** 50), 18 * MiB)
  })

  it('counts what is opening and what is open until it is freed, and freeing twice does nothing', () => {
    const ledger = new DeviceLedger(10)
    ledger.charge(1, 4)
    assert.deepEqual([ledger.missingFor(6), ledger.missingFor(7)], [0, 1])
    ledger.settle(1, 11)
    assert.deepEqual(ledger.snapshot(), { open: 11, opening: 0 })
    assert.equal(ledger.excessBytes, 1)
    ledger.charge(2, 1)
    assert.deepEqual(ledger.snapshot(), { open: 11, opening: 1 })
    for (const id of [1, 1, 2, 3]) ledger.free(id)
    assert.equal(ledger.usedBytes, 0)
    assert.throws(() => ledger.settle(1, 1))
    assert.throws(() => new DeviceLedger(0))
  })

  it('holds the sum of its charges through any order of moves', () => {
    const random = seededRandom(7)
    const below = (limit: number) => Math.floor(random() * limit)
    const ledger = new DeviceLedger(1000)
    const held = new Map<number, number>()
    for (let step = 0, id = 0; step < 10_000; step++) {
      const [some] = held.keys()
      const move = below(3)
      if (move === 0 || some === undefined) {
        held.set(++id, below(100))
        ledger.charge(id, held.get(id) ?? 0)
      } else if (move === 1) {
        held.set(some, below(200))
        ledger.settle(some, held.get(some) ?? 0)
      } else {
        held.delete(some)
        ledger.free(some)
      }
      const sum = [...held.values()].reduce((a, b) => a + b, 0)
      assert.equal(ledger.usedBytes, sum)
      const { open, opening } = ledger.snapshot()
      assert.equal(open + opening, sum)
    }
  })
})
