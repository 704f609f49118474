import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Alarm } from '../../../src/lib/alarm.ts'

describe('Alarm', () => {
  it('is raised by a row of bad samples and cleared by a row of good ones, and says each once', () => {
    const alarm = new Alarm({ limit: 10, inARow: 3 })
    const heard = [11, 12, 10, 11, 11, 11, 50, 50, 9, 9, 20, 9, 9, 9, 9].map((value) => alarm.next(value) ?? '')
    assert.deepEqual(heard, ['', '', '', '', '', 'raised', '', '', '', '', '', '', '', 'cleared', ''])
    assert.equal(alarm.isRaised, false)
  })
})
