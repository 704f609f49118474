import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { RequestIds } from '../../../src/http/request-id.ts'

describe('RequestIds', () => {
  it("keeps the client's id when it is printable, short and in one piece", () => {
    const ids = new RequestIds('boot')
    for (const id of ['a', 'x'.repeat(128), '{"}~!']) assert.equal(ids.idFor(id), id)
  })

  it('makes up one otherwise, never the same twice', () => {
    const ids = new RequestIds('boot')
    const made = [undefined, '', 'a b', 'a\tb', 'é', 'x'.repeat(129)].map((id) => ids.idFor(id))
    assert.equal(new Set(made).size, made.length)
    for (const id of made) assert.match(id, /^boot-[0-9a-z]+$/)
  })
})
