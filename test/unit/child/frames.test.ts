import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { FrameSocket } from '../../../src/child/frames.ts'

interface Frame {
  readonly kind: number
  readonly id: number
  readonly payload: Buffer
}

/** A socket that only hears what a test writes to it. */
function listen(): {
  hear: (bytes: Buffer) => void
  frames: Frame[]
  closed: Promise<Error | undefined>
  hangUp: () => void
} {
  const socket = new PassThrough()
  const frames: Frame[] = []
  const { promise: closed, resolve } = Promise.withResolvers<Error | undefined>()
  const handlers = {
    onFrame: (kind: number, id: number, payload: Buffer) =>
      void frames.push({ kind, id, payload: Buffer.from(payload) }),
    onClose: resolve,
  }
  const receiver = new FrameSocket(socket, handlers)
  assert.equal(receiver.pendingBytes, 0)
  return { hear: (bytes) => void socket.emit('data', bytes), frames, closed, hangUp: () => void socket.destroy() }
}

/** The bytes that a socket sends for these frames. */
async function bytesOf(frames: readonly Frame[]): Promise<Buffer> {
  const socket = new PassThrough()
  const sender = new FrameSocket(
    new PassThrough({ write: (chunk: Buffer, _encoding, done) => void socket.write(chunk, done) }),
    { onFrame: () => {}, onClose: () => {} },
  )
  for (const { kind, id, payload } of frames) sender.send(kind, id, [payload.subarray(0, 1), payload.subarray(1)])
  const wanted = frames.reduce((sum, { payload }) => sum + 9 + payload.length, 0)
  const chunks: Buffer[] = []
  for (let have = 0; have < wanted; ) {
    const chunk = (socket.read() ??
      (await new Promise<null>((resolve) => socket.once('readable', () => resolve(null))))) as Buffer | null
    if (chunk === null) continue
    chunks.push(chunk)
    have += chunk.length
  }
  return Buffer.concat(chunks)
}

describe('frames', () => {
  it('arrive whole, however the bytes between are cut', async () => {
    const fields = {
      kind: fc.nat(255),
      id: fc.nat(0xffffffff),
      payload: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    }
    const frame = fc.record(fields, { noNullPrototype: true })
    await fc.assert(
      fc.asyncProperty(
        fc.array(frame, { minLength: 1, maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 25 }), { minLength: 1 }),
        async (sent, cuts) => {
          const bytes = await bytesOf(sent)
          const { hear, frames } = listen()
          for (let at = 0, i = 0; at < bytes.length; i++) {
            const end = Math.min(bytes.length, at + (cuts[i % cuts.length] ?? 1))
            hear(bytes.subarray(at, end))
            at = end
          }
          assert.deepEqual(frames, sent)
        },
      ),
      { numRuns: 60 },
    )
  })

  it('that break the framing close the socket with a reason', async () => {
    const { hear, frames, closed } = listen()
    hear(Buffer.from('02000000aa00000000', 'hex'))
    assert.match(String(await closed), /broken framing/)
    assert.deepEqual(frames, [])
  })

  it('to a closed socket are dropped', async () => {
    const { closed, hangUp } = listen()
    hangUp()
    assert.equal(await closed, undefined)
    const socket = new PassThrough()
    const gone = Promise.withResolvers<undefined>()
    const sender = new FrameSocket(socket, { onFrame: () => {}, onClose: () => gone.resolve(undefined) })
    socket.destroy()
    await gone.promise
    sender.send(1, 1, [Buffer.of(1)])
    sender.end()
    assert.equal(sender.pendingBytes, 0)
  })
})
