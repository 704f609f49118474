import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { defaultSettings, parseSettings } from '../../../src/registry/model-settings.ts'

const DEFAULTS = defaultSettings({ batching: 'auto', maxRows: 64, maxDelayMs: 0, intraOpThreads: 1 })

describe('parseSettings', () => {
  it('reads every field', () => {
    const yaml = `
batching: { mode: off, maxRows: 8, maxDelayMs: 5 }
intraOpThreads: 4
deadlineMs: 2500
warmUp:
  - inputs: [{ name: x, shape: [1, 2], datatype: FP32, data: [0.5, 1] }]
`
    assert.deepEqual(parseSettings(yaml, DEFAULTS), {
      batching: { mode: 'off', maxRows: 8, maxDelayMs: 5 },
      intraOpThreads: 4,
      deadlineMs: 2500,
      warmUp: [{ inputs: [{ name: 'x', shape: [1, 2], datatype: 'FP32', data: [0.5, 1] }] }],
    })
  })

  it('takes the defaults for what is left out, and for an empty file', () => {
    assert.deepEqual(parseSettings('', DEFAULTS), DEFAULTS)
    assert.equal(parseSettings('batching: {}', DEFAULTS).batching.maxRows, 64)
  })

  it('lists every problem with its path', () => {
    const yaml = 'batching: { mode: maybe, rows: 3 }\nintraOpThreads: 1.5\nwarmUp: [5]\nthreads: 2'
    assert.throws(
      () => parseSettings(yaml, DEFAULTS),
      (error: unknown) => {
        const { message } = error as Error
        for (const part of [
          'batching.mode: expected auto or off',
          'batching.rows: there is no such field',
          'intraOpThreads: expected',
          'warmUp.0',
          'threads: there is no such field',
        ]) {
          assert.ok(message.includes(part), `${part} in ${message}`)
        }
        return true
      },
    )
  })

  it('refuses a file that is a list, a word or no YAML', () => {
    for (const yaml of ['- a', 'batching', 'a: [']) assert.throws(() => parseSettings(yaml, DEFAULTS), Error, yaml)
  })
})
