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

test('a tenant that comes while another has its turn comes next, whoever was in line', () => {
  const queue = new TenantQueue<string>()
  queue.pass('mob')
  for (let i = 0; i < 50; i++) queue.push('mob', `mob${i}`)
  queue.push('late', 'late0')
  assert.equal(queue.shift(), 'late0')
  assert.equal(queue.shift(), 'mob0')
  queue.push('later', 'later0')
  assert.equal(queue.shift(), 'later0')
})

test('tenants that come again and again with one job each do not keep another from its turns', () => {
  const queue = new TenantQueue<string>()
  for (let i = 0; i < 10; i++) queue.push('steady', 'steady')
  const others = ['a', 'b', 'c']
  for (const tenant of others) queue.push(tenant, tenant)
  const turns: (string | undefined)[] = []
  for (let i = 0; i < 12; i++) {
    const job = queue.shift()
    turns.push(job)
    // Whoever had its turn is back at once.
    if (job !== undefined && job !== 'steady') queue.push(job, job)
  }
  assert.equal(turns.filter((job) => job === 'steady').length, 3)
})

test('turns that a tenant had while nobody was in line are held against nobody', () => {
  const queue = new TenantQueue<string>()
  for (let i = 0; i < 5; i++) {
    queue.pass('busy-before')
    assert.equal(queue.shift(), undefined)
  }
  queue.pass('mob')
  queue.push('mob', 'mob0')
  queue.push('busy-before', 'now')
  assert.equal(queue.shift(), 'now')
})
