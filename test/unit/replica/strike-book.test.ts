import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Strike } from '../../../src/domain/quarantine.ts'
import { StrikeBook } from '../../../src/replica/strike-book.ts'

const RULES = { strikes: 2, windowMs: 1000 }
const KEY = 'acme/churn:1#abc'

function run(body: string): Strike {
  return { reason: 'crash', phase: 'run', how: 'SIGFPE', process: 'worker-0', at: 0, body }
}

const OPEN: Strike = { reason: 'crash', phase: 'open', how: 'SIGSEGV', process: 'worker-0', at: 0 }

describe('the strike book', () => {
  it('has enough with strikes by two different bodies', () => {
    const book = new StrikeBook(RULES)
    assert.equal(book.isEnough(book.note(KEY, run('a'), 0)), false)
    assert.equal(book.isEnough(book.note(KEY, run('b'), 10)), true)
  })

  it('counts a body once, however often it strikes', () => {
    const book = new StrikeBook(RULES)
    for (let at = 0; at < 900; at += 100) assert.equal(book.note(KEY, run('a'), at).length, 1)
  })

  it('counts every open, as none has a body', () => {
    const book = new StrikeBook(RULES)
    book.note(KEY, OPEN, 0)
    assert.equal(book.isEnough(book.note(KEY, OPEN, 10)), true)
  })

  it('counts an open and a run together', () => {
    const book = new StrikeBook(RULES)
    book.note(KEY, OPEN, 0)
    assert.equal(book.isEnough(book.note(KEY, run('a'), 10)), true)
  })

  it('forgets a strike when its time is over, to the millisecond', () => {
    const book = new StrikeBook(RULES)
    book.note(KEY, run('a'), 0)
    assert.equal(book.note(KEY, run('b'), 1000).length, 2, 'within the window')
    const other = new StrikeBook(RULES)
    other.note(KEY, run('a'), 0)
    assert.equal(other.note(KEY, run('b'), 1001).length, 1, 'past it')
  })

  it('keeps keys apart', () => {
    const book = new StrikeBook(RULES)
    book.note(KEY, run('a'), 0)
    assert.equal(book.note('acme/other:1#abc', run('b'), 0).length, 1)
  })

  it('knows a body that has struck, while that counts', () => {
    const book = new StrikeBook(RULES)
    book.note(KEY, run('a'), 0, 10)
    assert.equal(book.strikeOf(KEY, 10, 500, () => 'a')?.how, 'SIGFPE')
    assert.equal(
      book.strikeOf(KEY, 10, 500, () => 'b'),
      undefined,
    )
    assert.equal(
      book.strikeOf(KEY, 10, 1001, () => 'a'),
      undefined,
      'too long ago',
    )
    book.forget(KEY)
    assert.equal(
      book.strikeOf(KEY, 10, 500, () => 'a'),
      undefined,
      'released',
    )
  })

  it('digests a body only where one as long has struck that key', () => {
    const book = new StrikeBook(RULES)
    const never = (): string => assert.fail('a digest costs every request of every model')
    assert.equal(book.strikeOf(KEY, 10, 0, never), undefined)
    book.note(KEY, run('a'), 0, 11)
    book.note(KEY, OPEN, 0)
    assert.equal(book.strikeOf(KEY, 10, 0, never), undefined)
    assert.equal(book.strikeOf('acme/other:1#abc', 11, 0, never), undefined)
  })
})
