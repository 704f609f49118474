import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MetricsSnapshot } from '../../../../loadtest/measure/metrics.ts'

const TEXT = `# HELP modelmux_loads_total Loads by outcome.
# TYPE modelmux_loads_total counter
modelmux_loads_total{outcome="ok"} 12
modelmux_loads_total{outcome="failed"} 3 1700000000000
modelmux_models_resident 7
modelmux_build_info{version="1.0",note="a \\"b\\", c\\nd"} 1
modelmux_request_duration_seconds_bucket{route="infer",le="+Inf"} 4e2
`

describe('metrics snapshot', () => {
  const metrics = MetricsSnapshot.parse(TEXT)

  it('sums over labels, all of them or those that match', () => {
    assert.equal(metrics.sum('modelmux_loads_total'), 15)
    assert.equal(metrics.sum('modelmux_loads_total', { outcome: 'failed' }), 3)
    assert.equal(metrics.sum('modelmux_models_resident'), 7)
    assert.equal(metrics.sum('modelmux_request_duration_seconds_bucket', { le: '+Inf' }), 400)
    assert.equal(metrics.sum('no_such_metric'), 0)
  })

  it('gives values by label, escapes undone', () => {
    assert.deepEqual(metrics.by('modelmux_loads_total', 'outcome'), { ok: 12, failed: 3 })
    assert.deepEqual(metrics.by('modelmux_build_info', 'note'), { 'a "b", c\nd': 1 })
  })
})
