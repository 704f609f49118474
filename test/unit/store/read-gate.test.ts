import assert from 'node:assert/strict'
import { it } from 'node:test'
import { ReadGate } from '../../../src/store/read-gate.ts'
import { Gate } from '../../support/gate.ts'

const NEVER = new AbortController().signal

it('halves once for all reads that were told to slow down together, and grows again by one a round', async () => {
  const gate = new ReadGate(8)
  const slow = new Gate()
  slow.shut()
  const reads = Array.from({ length: 8 }, () =>
    assert.rejects(
      gate.use(
        () => slow.pass('read'),
        () => true,
        NEVER,
      ),
    ),
  )
  await Promise.resolve()
  for (let left = 8; left > 0; left--) slow.fail(new Error('503'))
  await Promise.all(reads)
  assert.equal(gate.limit, 4)

  for (let read = 0; read < 3; read++) await goesWell(gate)
  assert.equal(gate.limit, 4)
  await goesWell(gate)
  assert.equal(gate.limit, 5)
  for (let read = 0; read < 100; read++) await goesWell(gate)
  assert.equal(gate.limit, 8)
})

it('lets the others wait in order, and never falls below one', async () => {
  const gate = new ReadGate(1)
  await assert.rejects(
    gate.use(
      () => Promise.reject(new Error('503')),
      () => true,
      NEVER,
    ),
  )
  assert.equal(gate.limit, 1)
  const held = new Gate()
  held.shut()
  const order: string[] = []
  const read = (name: string, signal = NEVER) =>
    gate.use(
      async () => {
        order.push(name)
        await held.pass(name)
      },
      () => false,
      signal,
    )
  const leaving = new AbortController()
  const reads = [read('a'), assert.rejects(read('b', leaving.signal), /left/), read('c')]
  leaving.abort(new Error('left'))
  held.open()
  await Promise.all(reads)
  assert.deepEqual(order, ['a', 'c'])
  assert.equal(gate.held, 0)
})

async function goesWell(gate: ReadGate): Promise<void> {
  await gate.use(
    () => Promise.resolve(),
    () => false,
    NEVER,
  )
}
