import assert from 'node:assert/strict'
import { duplexPair } from 'node:stream'
import { describe, it } from 'node:test'
import type { CallHandler } from '../../../src/child/calls.ts'
import { ChildCalls, ChildGoneError, serveCalls } from '../../../src/child/calls.ts'
import { GatewayError } from '../../../src/domain/errors.ts'

function connect(handle: CallHandler): {
  calls: ChildCalls
  events: Buffer[]
  say: (payload: Uint8Array) => void
  hangUp: () => void
  ended: Promise<void>
} {
  const [ours, theirs] = duplexPair()
  const events: Buffer[] = []
  const { promise: ended, resolve } = Promise.withResolvers<void>()
  const { say } = serveCalls(theirs, handle, resolve)
  return {
    calls: new ChildCalls(ours, (event) => events.push(event)),
    events,
    say,
    hangUp: () => theirs.destroy(),
    ended,
  }
}

const echo: CallHandler = (kind, payload) => [Buffer.of(kind), payload]

describe('calls to a child', () => {
  it('are answered with the parts of the reply joined', async () => {
    const { calls } = connect(echo)
    assert.deepEqual(await calls.call(7, [Buffer.from('a'), Buffer.from('bc')]), Buffer.from('\u0007abc'))
    assert.equal(calls.pending, 0)
  })

  it('may be answered in another order than they were made', async () => {
    const first = Promise.withResolvers<readonly Uint8Array[]>()
    const { calls } = connect((kind) => (kind === 1 ? first.promise : [Buffer.of(2)]))
    const one = calls.call(1, [])
    assert.deepEqual(await calls.call(2, []), Buffer.of(2))
    first.resolve([Buffer.of(1)])
    assert.deepEqual(await one, Buffer.of(1))
  })

  it('carry an error of ours whole, with its cause as text', async () => {
    const thrown = new GatewayError('BAD_INPUT_VALUE', 'no', { model: 'm' }, { cause: new Error('raw words') })
    for (const handle of [
      () => Promise.reject(thrown),
      () => {
        throw thrown
      },
    ] satisfies CallHandler[]) {
      await assert.rejects(connect(handle).calls.call(1, []), (error) => {
        assert.ok(error instanceof GatewayError)
        assert.deepEqual([error.code, error.message, error.facts], ['BAD_INPUT_VALUE', 'no', { model: 'm' }])
        assert.match(String(error.cause), /raw words/)
        return true
      })
    }
  })

  it('turn any other error into INTERNAL and keep its words for the log', async () => {
    const { calls } = connect(() => {
      throw new TypeError('oops')
    })
    await assert.rejects(
      calls.call(1, []),
      (error) => error instanceof GatewayError && error.code === 'INTERNAL' && /oops/.test(String(error.cause)),
    )
  })

  it('are rejected when the child goes away, those to come too', async () => {
    const { calls, hangUp } = connect(() => new Promise(() => {}))
    const waiting = calls.call(1, [])
    hangUp()
    await assert.rejects(waiting, ChildGoneError)
    await assert.rejects(calls.call(1, []), ChildGoneError)
  })

  it('are drained when the last one is answered, or when the child is gone', async () => {
    const gate = Promise.withResolvers<readonly Uint8Array[]>()
    const { calls } = connect(() => gate.promise)
    await calls.drained()
    const order: string[] = []
    const call = calls.call(1, []).then(() => order.push('answered'))
    const drained = calls.drained().then(() => order.push('drained'))
    gate.resolve([])
    await Promise.all([call, drained])
    assert.deepEqual(order, ['answered', 'drained'])

    const lost = connect(() => new Promise(() => {}))
    const waiting = lost.calls.call(1, [])
    const empty = lost.calls.drained()
    lost.hangUp()
    await assert.rejects(waiting, ChildGoneError)
    await empty
  })

  it('are refused when they are too large for a frame, without waiting for an answer', async () => {
    const { calls } = connect(echo)
    const huge = { length: 2 ** 31 } as Uint8Array
    await assert.rejects(calls.call(1, [huge]), RangeError)
    assert.equal(calls.pending, 0)
  })

  it('report an answer too large for a frame as an error', async () => {
    const huge = { length: 2 ** 31 } as Uint8Array
    for (const handle of [() => [huge], () => Promise.resolve([huge])] satisfies CallHandler[]) {
      await assert.rejects(connect(handle).calls.call(1, []), { code: 'INTERNAL' })
    }
  })

  it('leave room for what the child says unasked', async () => {
    const { calls, events, say } = connect(echo)
    say(Buffer.from('news'))
    await calls.call(1, [])
    assert.deepEqual(events, [Buffer.from('news')])
  })

  it('end when the parent says so', async () => {
    const { calls, ended } = connect(echo)
    await calls.call(1, [])
    calls.end()
    await ended
  })
})
