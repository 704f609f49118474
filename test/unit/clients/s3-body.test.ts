import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { describe, it } from 'node:test'
import { countedBody } from '../../../src/clients/s3-body.ts'

async function lengthOf(body: AsyncIterable<Uint8Array>): Promise<number> {
  let length = 0
  for await (const chunk of body) length += chunk.length
  return length
}

const bytes = (...lengths: number[]) => Readable.from(lengths.map((length) => Buffer.alloc(length)))

describe('the body of an answer', () => {
  it('is exactly as long as it should be', async () => {
    assert.equal(await lengthOf(countedBody(bytes(3, 4), 7)), 7)
    await assert.rejects(lengthOf(countedBody(bytes(3, 3), 7)), /^S3Error: S3 sent 6 of 7 bytes$/)
    await assert.rejects(lengthOf(countedBody(bytes(3, 5), 7)), /^S3Error: S3 sent more than the 7 bytes/)
  })

  it('may break before anybody listens', async () => {
    const body = new Readable({ read() {} })
    const counted = countedBody(body, 7)
    body.destroy(new Error('reset'))
    await new Promise((resolve) => {
      setImmediate(resolve)
    })
    await assert.rejects(lengthOf(counted), /^S3Error: S3 does not answer/)
  })

  it('lets go of its connection and its signal when it is left, aborted, or at its end', async () => {
    const controller = new AbortController()
    const left = bytes(3, 3, 3)
    for await (const _ of countedBody(left, 9, controller.signal)) break
    assert.equal(left.destroyed, true)
    const unread = new Readable({ read() {} })
    const reason = new Error('nobody waits')
    const counted = countedBody(unread, 7, controller.signal)
    controller.abort(reason)
    assert.equal(unread.destroyed, true)
    await assert.rejects(lengthOf(counted), reason)
    const late = bytes(3)
    await assert.rejects(lengthOf(countedBody(late, 3, controller.signal)), reason)
  })
})
