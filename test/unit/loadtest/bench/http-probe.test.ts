import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseServerTiming } from '../../../../loadtest/bench/http-probe.ts'

describe('Server-Timing', () => {
  it('gives durations by phase, in any order of parameters, and skips what has none', () => {
    assert.deepEqual(parseServerTiming('resolve;dur=0.04, open;desc="cold";dur=5.5,run;dur=1e1, miss'), {
      resolve: 0.04,
      open: 5.5,
      run: 10,
    })
    assert.deepEqual(parseServerTiming(''), {})
  })
})
