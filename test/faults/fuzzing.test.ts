/** A hundred thousand changed inputs for everything that reads bytes from outside, the same ones each time; and planted faults that must be found. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { runCampaign } from '../fuzz/campaign.ts'
import { Dice } from '../fuzz/dice.ts'
import { TARGETS, targetNamed } from '../fuzz/targets/index.ts'

const CASES = 100_000
const SEED = 20_260_801
/** Of cases: fewer read or refused, and the fuzzer tests only one half of a reader. */
const LEAST_SHARE = 0.01

describe('readers of bytes from outside', () => {
  for (const { name, share } of TARGETS) {
    const cases = CASES * share
    it(`read or refuse ${cases} changed inputs, in proportion and with nothing else thrown: ${name}`, async () => {
      const { found, accepted, refused } = await runCampaign({ target: name, seed: SEED, cases })
      assert.deepEqual(found, undefined)
      assert.equal(accepted + refused, cases)
      assert.ok(accepted >= cases * LEAST_SHARE, `${accepted} read`)
      // What a sidecar's reader refuses with is told as a problem, and counts as read here.
      assert.ok(refused >= cases * LEAST_SHARE || targetNamed(name).refusals.size === 0, `${refused} refused`)
    })
  }

  it('are given a hundred thousand between them', () => {
    assert.equal(TARGETS.reduce((sum, { share }) => sum + share, 0).toFixed(9), '1.000000000')
  })
})

describe('the fuzzer', () => {
  it('finds a planted exception, tells its case, and makes its input small', async () => {
    const { found } = await runCampaign({ target: 'planted-throw', seed: 1, cases: 100_000 })
    assert.ok(found !== undefined)
    assert.deepEqual([found.kind, found.what, found.seed], ['exception', 'TypeError: planted', 1])
    assert.equal(found.smallest.length, 8)
    assert.deepEqual(targetNamed('planted-throw').make(new Dice(found.seed, found.caseNumber)), found.input)
    const again = await runCampaign({ target: 'planted-throw', seed: 1, from: found.caseNumber, cases: 1 })
    assert.deepEqual(again.found?.input, found.input)
  })

  it('finds an input that takes memory out of proportion', async () => {
    const { found } = await runCampaign({ target: 'planted-memory', seed: 1, cases: 100_000 })
    assert.deepEqual([found?.kind, found?.smallest.length], ['memory', 8])
  })

  it('ends a case that never does, and tells which', async () => {
    const { found } = await runCampaign({ target: 'planted-hang', seed: 1, cases: 100_000, hangMs: 1500 })
    assert.equal(found?.kind, 'hang')
    assert.equal(found?.input[3], 0x2a)
  })

  it('survives a case that ends its thread, and tells which', async () => {
    const { found } = await runCampaign({ target: 'planted-death', seed: 1, cases: 100_000 })
    assert.equal(found?.kind, 'death')
    assert.equal(found?.input[3], 0x2a)
  })
})
