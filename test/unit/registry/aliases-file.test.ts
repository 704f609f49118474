import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseAliases } from '../../../src/registry/aliases-file.ts'

describe('parseAliases', () => {
  it('reads versions as text or as whole numbers', () => {
    assert.deepEqual(parseAliases('{"champion": "7", "next": 8}'), [
      ['champion', '7'],
      ['next', '8'],
    ])
  })

  it('refuses what is no object, no alias or no version, and says which', () => {
    const bad: Record<string, RegExp> = {
      '[]': /expected an object/,
      null: /expected an object/,
      '{"a/b": "1"}': /'a\/b' is not an alias: an alias has no slash/,
      '{"": "1"}': /empty/,
      '{"champion": "v1"}': /alias 'champion' names "v1"; expected a version/,
      '{"champion": 1.5}': /names 1.5/,
      '{"champion": {"a": 1}}': /names \{"a":1\}/,
    }
    for (const [text, problem] of Object.entries(bad)) assert.throws(() => parseAliases(text), problem, text)
    const many = JSON.stringify(Object.fromEntries(Array.from({ length: 1001 }, (_, index) => [`a${index}`, '1'])))
    assert.throws(() => parseAliases(many), /1001 aliases/)
  })
})
