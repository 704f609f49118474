import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { headerOf, ResponseReader } from '../../../../loadtest/generator/response-reader.ts'

const BODY = '{"outputs":[]}'
const WHOLE = Buffer.from(
  `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Modelmux-Cache: hit\r\ncontent-length: ${BODY.length}\r\n\r\n${BODY}`,
)

describe('response reader', () => {
  it('reads a response however it was cut into chunks', () => {
    for (let cut = 1; cut < WHOLE.length; cut += 1) {
      const reader = new ResponseReader()
      assert.equal(reader.push(Buffer.from(WHOLE.subarray(0, cut))), undefined, `whole after ${cut} bytes`)
      const response = reader.push(Buffer.from(WHOLE.subarray(cut)))
      assert.equal(response?.status, 200)
      assert.equal(response.body.toString(), BODY)
      assert.equal(headerOf(response.head, 'x-modelmux-cache'), 'hit')
    }
  })

  it('reads one response after another, and byte by byte', () => {
    const reader = new ResponseReader()
    for (let round = 0; round < 3; round += 1) {
      const got = [...WHOLE].map((byte) => reader.push(Buffer.of(byte))).filter((response) => response !== undefined)
      assert.deepEqual(
        got.map(({ body }) => body.toString()),
        [BODY],
      )
    }
  })

  it('keeps its own copy of a chunk that the connection writes over', () => {
    const reader = new ResponseReader()
    const shared = Buffer.from(WHOLE.subarray(0, 70))
    reader.push(shared)
    shared.fill(0)
    assert.equal(reader.push(WHOLE.subarray(70))?.body.toString(), BODY)
  })

  it('says when the server will close', () => {
    const bytes = Buffer.from('HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
    const response = new ResponseReader().push(bytes)
    assert.deepEqual([response?.status, response?.closes, response?.body.length], [503, true, 0])
  })

  it('refuses what it cannot delimit', () => {
    const push = (text: string) => new ResponseReader().push(Buffer.from(text))
    assert.throws(() => push('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'), /no Content-Length/)
    assert.throws(() => push('SSH-2.0-OpenSSH\r\n\r\n'), /not a final HTTP/)
    assert.throws(() => push(`${WHOLE.toString()}more`), /4 bytes came after the end/)
  })

  it('finds a header only by its whole name', () => {
    const head = 'HTTP/1.1 200 OK\r\nX-Length: 1\r\nContent-Length:2\r\nLength: 3'
    assert.deepEqual(
      ['length', 'content-length', 'x-length', 'none'].map((name) => headerOf(head, name)),
      ['3', '2', '1', undefined],
    )
  })
})
