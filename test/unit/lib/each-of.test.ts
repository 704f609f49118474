import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { eachOf } from '../../../src/lib/each-of.ts'

const NEVER = new AbortController().signal

describe('a task for each item', () => {
  it('gives what they gave in order, however many go at a time', async () => {
    let running = 0
    let most = 0
    const twice = async (item: number): Promise<number> => {
      most = Math.max(most, ++running)
      await new Promise((resolve) => {
        setImmediate(resolve)
      })
      running--
      return item * 2
    }
    assert.deepEqual(await eachOf([3, 1, 2, 5], 2, NEVER, twice), [6, 2, 4, 10])
    assert.equal(most, 2)
    assert.deepEqual(await eachOf([], 2, NEVER, twice), [])
  })

  it('begins no more after a failure, and waits for what was begun', async () => {
    const begun: number[] = []
    const ended: number[] = []
    const { promise: held, resolve: letGo } = Promise.withResolvers<void>()
    const failing = eachOf([1, 2, 3, 4], 2, NEVER, async (item) => {
      begun.push(item)
      if (item === 2) throw new Error('the second')
      await held
      ended.push(item)
    })
    let isSettled = false
    failing.catch(() => {
      isSettled = true
    })
    await new Promise((resolve) => {
      setImmediate(resolve)
    })
    assert.deepEqual([begun, ended, isSettled], [[1, 2], [], false])
    letGo()
    await assert.rejects(failing, /the second/)
    assert.deepEqual([begun, ended], [[1, 2], [1]])
  })

  it('ends with the reason of its signal', async () => {
    const reason = new Error('enough')
    await assert.rejects(
      eachOf([1], 1, AbortSignal.abort(reason), () => Promise.resolve(1)),
      reason,
    )
  })
})
