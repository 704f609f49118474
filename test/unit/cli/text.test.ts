import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  ASCII,
  bar,
  percent,
  shareOut,
  shortDuration,
  shortMs,
  shortNumber,
  sparkline,
  UNICODE,
} from '../../../src/cli/figures.ts'
import { coloured, columnsOf, cut, fitted, visible, withoutColours } from '../../../src/cli/text.ts'
import { terminalFacts } from '../../../src/config/terminal.ts'

describe('text on a terminal', () => {
  it('is measured in columns and cut to them', () => {
    assert.equal(columnsOf('模型a'), 5)
    assert.equal(columnsOf('e\u0301'), 1)
    assert.equal(cut('abcdef', 4), 'abc…')
    assert.equal(cut('模型模型', 5), '模型…')
    assert.equal(cut('abc', 3), 'abc')
    assert.equal(cut('abc', 0), '')
    assert.equal(cut('模型', 1), '…')
    assert.equal(fitted('7', 3, 'right'), '  7')
    assert.equal(fitted('模型模', 4), '模… ')
  })

  it('cannot steer the terminal', () => {
    assert.equal(visible('a\u001b[2J\u0007\r\nb\u202ec\u009bd'), 'a?[2J???b?c?d')
  })

  it('has colours that take no width', () => {
    assert.equal(withoutColours(coloured('abc', 'red')), 'abc')
    assert.equal(coloured('', 'red'), '')
  })
})

describe('figures', () => {
  it('are short', () => {
    assert.deepEqual([0, 0.04, 0.4, 4, 9.96, 42, 999, 4312, 81_234, 1_200_000].map(shortNumber), [
      '0',
      '0',
      '0.4',
      '4',
      '10',
      '42',
      '999',
      '4.3k',
      '81k',
      '1.2M',
    ])
    assert.deepEqual([null, 0.21, 2.1, 21, 1234].map(shortMs), ['-', '0.21', '2.1', '21', '1.2s'])
    assert.deepEqual([null, 0, 0.5, 0.9999, 1].map(percent), ['-', '0%', '50%', '99.9%', '100%'])
    assert.deepEqual([5, 187, 18_720, 800_000].map(shortDuration), ['5s', '3m 07s', '5h 12m', '9d 6h'])
  })

  it('are drawn within their columns', () => {
    assert.equal(bar(0.5, 4, UNICODE), '██')
    assert.equal(bar(0.53, 4, UNICODE), '██▏')
    assert.equal(bar(2, 4, UNICODE), '████')
    assert.equal(bar(-1, 4, UNICODE), '')
    assert.equal(bar(0.99, 4, ASCII), '####')
    for (let share = 0; share <= 1; share += 0.01) assert.ok(columnsOf(bar(share, 7, UNICODE)) <= 7)
    assert.equal(sparkline([0, 5, 10], UNICODE), '▁▅█')
    assert.equal(sparkline([0, 0], UNICODE), '▁▁')
    assert.equal(sparkline([], UNICODE), '')
  })

  it('share a bar out so that no part vanishes and the sum fits', () => {
    assert.deepEqual(shareOut([94, 1, 1, 0], 96, 10), [8, 1, 1, 0])
    assert.deepEqual(shareOut([50, 1, 0], 100, 10), [5, 1, 0])
    assert.deepEqual(shareOut([1, 1], 0, 10), [0, 0])
    for (const parts of [
      [1, 2, 3],
      [100, 0, 1],
      [33, 33, 34],
    ]) {
      const sum = shareOut(parts, 100, 7).reduce((a, b) => a + b, 0)
      assert.ok(sum <= 7)
    }
  })
})

describe('terminalFacts', () => {
  it('heeds NO_COLOR, dumb terminals and locales without Unicode', () => {
    const usual = { wantsColours: true, isDumb: false, isUnicode: true }
    assert.deepEqual(terminalFacts({ TERM: 'xterm' }), usual)
    assert.deepEqual(terminalFacts({ NO_COLOR: '1' }), { ...usual, wantsColours: false })
    assert.deepEqual(terminalFacts({ NO_COLOR: '' }), usual)
    assert.deepEqual(terminalFacts({ TERM: 'dumb' }), { ...usual, wantsColours: false, isDumb: true })
    assert.equal(terminalFacts({ LANG: 'en_US.UTF-8', LC_ALL: 'C' }).isUnicode, false)
    assert.equal(terminalFacts({ LANG: 'de_DE.utf8' }).isUnicode, true)
  })
})
