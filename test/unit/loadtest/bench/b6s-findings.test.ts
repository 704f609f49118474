import assert from 'node:assert/strict'
import { it } from 'node:test'
import { findings } from '../../../../loadtest/bench/b6s-findings.ts'
import type { ProxiedCall } from '../../../../loadtest/bench/latency-proxy.ts'

const SETUP = { delayMs: 10, curlVersion: 'curl 1.2.3', parallel: 8, rangeBytes: 8 * 2 ** 20 }
const head: ProxiedCall = { method: 'HEAD', path: '/models/a/1/model.onnx' }
const list: ProxiedCall = { method: 'GET', path: '/models?list-type=2&prefix=a' }
const read: ProxiedCall = { method: 'GET', path: '/models/a/1/model.onnx', range: 'bytes=0-99' }

it('a fetch is held against the faster way of curl in each repetition, and its dearest resolve counts', () => {
  const { gates, tables, notes } = findings(
    [
      {
        className: 'R',
        bytes: 100e6,
        times: [
          { ceiling: 50, curlRanges: 100, curlShares: 200, ours: 200 },
          { ceiling: 50, curlRanges: 300, curlShares: 140, ours: 200 },
          { ceiling: 50, curlRanges: 180, curlShares: 190, ours: 200 },
        ],
        calls: [
          [head, read, read],
          [list, head, read, read],
          [head, read, read],
        ],
        problems: [],
      },
    ],
    SETUP,
  )
  assert.deepEqual(
    gates.map(({ value, bound, limit }) => [value, bound, limit]),
    [
      [0.7, 'at least', 0.6],
      [2, 'at most', 2],
    ],
  )
  assert.deepEqual(tables[1]?.rows, [['R', 1, 0, 2, 0]])
  assert.match(notes.join('\n'), /curl 1\.2\.3 .* 10 ms later each way \(a round trip takes 20 ms/)
})
