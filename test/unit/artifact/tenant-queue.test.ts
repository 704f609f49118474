import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TenantQueue } from '../../../src/artifact/tenant-queue.ts'

test('a tenant’s jobs keep their order, and tenants take turns', () => {
  const queue = new TenantQueue<string>()
  for (const job of ['a1', 'a2', 'a3']) queue.push('a', job)
  queue.push('b', 'b1')
  queue.push('c', 'c1')
  queue.push('b', 'b2')
  assert.equal(queue.size, 6)
  const order = Array.from({ length: 6 }, () => queue.shift())
  assert.deepEqual(order, ['a1', 'b1', 'c1', 'a2', 'b2', 'a3'])
  assert.equal(queue.shift(), undefined)
  assert.equal(queue.size, 0)
})

test('a tenant that comes late waits one turn of the others, not their whole line', () => {
  const queue = new TenantQueue<string>()
  for (let i = 0; i < 1000; i++) queue.push('big', `big${i}`)
  queue.push('small', 'small')
  assert.deepEqual([queue.shift(), queue.shift()], ['big0', 'small'])
})
