import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { duplexPair } from 'node:stream'
import { describe, it } from 'node:test'
import { ArtifactHost } from '../../../src/artifact/artifact-host.ts'
import type { ArtifactStore } from '../../../src/artifact/artifact-store.ts'
import { OWNER_CALLS } from '../../../src/artifact/owner-protocol.ts'
import type { ArtifactSource } from '../../../src/artifact/source.ts'
import { ChildCalls } from '../../../src/child/calls.ts'
import { detach } from '../../../src/lib/detach.ts'
import { ManualClock } from '../../support/manual-clock.ts'

/** Welcome at an owner whose every compile asks whether the source changed. */
async function guestOf(clock: ManualClock, onQuestion: (payload: Buffer) => void) {
  const answers: boolean[] = []
  const compile = async (source: ArtifactSource): Promise<object> => {
    answers.push(await source.isUnchanged())
    return {}
  }
  const store = { compile } as unknown as ArtifactStore
  const { promise: left, resolve: leave } = Promise.withResolvers<void>()
  const onEvent = (name: string) => name === 'cache.guest-left' && leave()
  const host = new ArtifactHost({ store, terms: {}, clock, onEvent })
  const [near, far] = duplexPair()
  host.accept(near as unknown as Socket)
  const calls = new ChildCalls(far, onQuestion)
  const call = (kind: number, what: object) => calls.call(kind, [Buffer.from(JSON.stringify(what))])
  await call(OWNER_CALLS.hello, { terms: {} })
  return { answers, call, far, left }
}

describe('ArtifactHost', () => {
  it('waits for no guest that stands still, and does not believe its source', async () => {
    const clock = new ManualClock()
    const { promise: asked, resolve } = Promise.withResolvers<Buffer>()
    const { answers, call } = await guestOf(clock, resolve)
    const compiled = call(OWNER_CALLS.compile, { source: { ask: 1 } })
    const { question } = JSON.parse((await asked).toString()) as { readonly question: number }
    clock.tick(9_999)
    assert.deepEqual(answers, [])
    clock.tick(1)
    await compiled
    assert.deepEqual(answers, [false])
    await call(OWNER_CALLS.unchanged, { question, isUnchanged: true })
    assert.deepEqual(answers, [false], 'an answer that comes later changes nothing')
  })

  it('takes the word of one that answers, and waits for nothing more', async () => {
    const clock = new ManualClock()
    const { answers, call } = await guestOf(clock, (payload) => {
      const { question } = JSON.parse(payload.toString()) as { readonly question: number }
      detach(call(OWNER_CALLS.unchanged, { question, isUnchanged: true }))
    })
    await call(OWNER_CALLS.compile, { source: { ask: 1 } })
    assert.deepEqual(answers, [true])
  })

  it('does not believe one that leaves in the middle', async () => {
    const { promise: asked, resolve } = Promise.withResolvers<Buffer>()
    const { answers, call, far, left } = await guestOf(new ManualClock(), resolve)
    const compiled = call(OWNER_CALLS.compile, { source: { ask: 1 } })
    await asked
    far.end()
    await left
    far.destroy()
    await assert.rejects(compiled)
    assert.deepEqual(answers, [false])
  })
})
