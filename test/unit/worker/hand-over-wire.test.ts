import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { GatewayError } from '../../../src/domain/errors.ts'
import type { Outcome } from '../../../src/worker/hand-over-wire.ts'
import { decodeHandOver, decodeReply, encodeHandOver, encodeReply } from '../../../src/worker/hand-over-wire.ts'

const LARGE = Buffer.alloc(300 * 1024, 'x')

describe('the hand-over wire', () => {
  it('carries bodies as they are, in chunks or not, small and large', () => {
    for (const tail of [Buffer.from('tail'), LARGE]) {
      const payload = Buffer.concat(
        encodeHandOver(4_000_000_000, [
          { body: [Buffer.from('a'), Buffer.from('bc')], bodyBytes: 3 },
          { body: [], bodyBytes: 0, jsonBytes: 0 },
          { body: [tail], bodyBytes: tail.length, jsonBytes: 2 },
        ]),
      )
      assert.deepEqual(decodeHandOver(payload), {
        placementId: 4_000_000_000,
        requests: [{ body: Buffer.from('abc') }, { body: Buffer.alloc(0), jsonBytes: 0 }, { body: tail, jsonBytes: 2 }],
      })
    }
  })

  it('carries a JSON length past any body as one that is still too long', () => {
    for (const jsonBytes of [2 ** 32 - 1, 2 ** 40]) {
      const [request] = decodeHandOver(
        Buffer.concat(encodeHandOver(1, [{ body: [], bodyBytes: 0, jsonBytes }])),
      ).requests
      assert.ok(request?.jsonBytes !== undefined && request.jsonBytes > 2 ** 31)
    }
  })

  it('carries answers, errors and times back, in order', () => {
    const times = { decodeMs: 0.25, runMs: 1.5, encodeMs: 0.125, runs: 2, rows: 9 }
    const error = new GatewayError(
      'BAD_INPUT_VALUE',
      'no',
      { details: { input: 'x' } },
      { cause: new Error('raw words') },
    )
    for (const bytes of [Buffer.of(1, 2), LARGE]) {
      const outcomes: Outcome[] = [
        { response: { json: '{"é":1}', binary: [] }, rows: 8 },
        { error },
        { response: { json: '{"é":1}', binary: [bytes, Buffer.of(3)] }, rows: 1 },
      ]
      const { answers, ...rest } = decodeReply(Buffer.concat(encodeReply(times, outcomes)))
      assert.deepEqual(rest, times)
      const [json, failed, binary] = answers
      assert.deepEqual(json, { ok: true, body: Buffer.from('{"é":1}'), rows: 8 })
      assert.ok(failed?.ok === false)
      assert.equal(failed.error.code, 'BAD_INPUT_VALUE')
      assert.deepEqual(failed.error.facts, { details: { input: 'x' } })
      assert.match(String(failed.error.cause), /raw words/)
      assert.deepEqual(binary, {
        ok: true,
        body: Buffer.concat([Buffer.from('{"é":1}'), bytes, Buffer.of(3)]),
        jsonBytes: 8,
        rows: 1,
      })
    }
  })

  it('carries a count of rows past any uint32 as the largest one, and the other answers with it', () => {
    const times = { decodeMs: 0, runMs: 0, encodeMs: 0, runs: 1, rows: 2 ** 33 }
    const outcomes = [2 ** 33, 3].map((rows): Outcome => ({ response: { json: '{}', binary: [] }, rows }))
    const report = decodeReply(Buffer.concat(encodeReply(times, outcomes)))
    assert.equal(report.rows, 2 ** 32 - 1)
    assert.deepEqual(
      report.answers.map((answer) => answer.ok && answer.rows),
      [2 ** 32 - 1, 3],
    )
  })
})
