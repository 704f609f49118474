import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { gzipSync } from 'node:zlib'
import { Expander } from '../../../src/http/content-encoding.ts'
import type { Body } from '../../../src/http/read-body.ts'
import { ReceiveBudget } from '../../../src/http/read-body.ts'

const MIB = 2 ** 20
const never = new AbortController().signal

function gzipped(bytes: number): Body {
  const body = gzipSync(Buffer.alloc(bytes))
  return { chunks: [body], bytes: body.length }
}

describe('Expander', () => {
  it('counts what a body may become until it is released', async () => {
    const budget = new ReceiveBudget(4 * MIB)
    const body = await new Expander(budget).expand(gzipped(1000), 'gzip', MIB, never)
    assert.equal(body.bytes, 1000)
    assert.equal(budget.used, MIB)
    body.release()
    assert.equal(budget.used, 0)
  })

  it('refuses a body that the budget has no room for once expanded, however small it came', async () => {
    const budget = new ReceiveBudget(4 * MIB)
    budget.hold(MIB)
    await assert.rejects(new Expander(budget).expand(gzipped(10), 'gzip', 2 * MIB, never), { code: 'OVERLOADED' })
    assert.equal(budget.used, MIB)
  })

  it('expands few bodies at once and gives everything back, also for broken ones', async () => {
    const budget = new ReceiveBudget(100 * MIB)
    const expander = new Expander(budget)
    let most = 0
    const tasks = Array.from({ length: 8 }, async () => {
      const body = await expander.expand(gzipped(MIB), 'gzip', MIB, never)
      most = Math.max(most, budget.used)
      body.release()
    })
    const broken = expander.expand({ chunks: [Buffer.from('no')], bytes: 2 }, 'gzip', MIB, never)
    await assert.rejects(broken, { code: 'BAD_REQUEST' })
    await Promise.all(tasks)
    // Two of them, and the one that is just being handed on.
    assert.ok(most < 4 * MIB, `${most}`)
    assert.equal(budget.used, 0)
  })

  it('leaves the line when the client leaves', async () => {
    const budget = new ReceiveBudget(100 * MIB)
    const expander = new Expander(budget)
    const abort = new AbortController()
    const first = [1, 2].map(() => expander.expand(gzipped(MIB), 'gzip', MIB, never))
    const left = expander.expand(gzipped(MIB), 'gzip', MIB, abort.signal)
    abort.abort()
    await assert.rejects(left)
    for (const body of await Promise.all(first)) body.release()
    assert.equal(budget.used, 0)
  })
})
