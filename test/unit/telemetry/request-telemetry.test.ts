import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { ErrorCode } from '../../../src/domain/errors.ts'
import { GatewayError } from '../../../src/domain/errors.ts'
import type { EventFields } from '../../../src/telemetry/log.ts'
import { Metrics } from '../../../src/telemetry/metrics.ts'
import { RequestLog } from '../../../src/telemetry/request-log.ts'
import { RequestMetrics } from '../../../src/telemetry/request-metrics.ts'
import type { RequestSummary } from '../../../src/telemetry/request-summary.ts'

const ROUTE = '/v2/models/{model}/infer'
const DONE: RequestSummary = {
  requestId: 'r1',
  method: 'POST',
  route: ROUTE,
  status: 200,
  model: 'acme/churn',
  version: '7',
  cache: 'load',
  timings: { queue: 0.4, run: 30 },
  batchRows: 4,
  bytesIn: 10,
  bytesOut: 20,
  durationMs: 31,
}

function failed(code: ErrorCode): RequestSummary {
  const error = new GatewayError(code, `it is ${code}`)
  const { requestId, method, route } = DONE
  return { requestId, method, route, status: error.status, code, error, bytesIn: 1, bytesOut: 2, durationMs: 5 }
}

describe('metrics of requests', () => {
  it('counts by route, status and code, and measures only the phases there were', async () => {
    const metrics = new Metrics({ onReadError: () => {} })
    const requests = new RequestMetrics(metrics)
    requests.requestDone(DONE)
    requests.requestDone(DONE)
    requests.requestDone(failed('INFERENCE_FAILED'))
    const text = await metrics.render()
    const has = (line: string): void => assert.ok(text.split('\n').includes(line), line)
    has(`modelmux_requests_total{route="${ROUTE}",status="200",code=""} 2`)
    has(`modelmux_requests_total{route="${ROUTE}",status="500",code="INFERENCE_FAILED"} 1`)
    has(`modelmux_request_duration_seconds_count{route="${ROUTE}"} 3`)
    has(`modelmux_request_duration_seconds_bucket{route="${ROUTE}",le="0.005"} 1`)
    has(`modelmux_request_duration_seconds_bucket{route="${ROUTE}",le="0.05"} 3`)
    has('modelmux_phase_duration_seconds_count{phase="run"} 2')
    has('modelmux_phase_duration_seconds_sum{phase="run"} 0.06')
    has('modelmux_phase_duration_seconds_count{phase="compile"} 0')
    has('modelmux_cache_outcomes_total{outcome="load"} 2')
    has('modelmux_request_bytes_total 21')
    has('modelmux_response_bytes_total 42')
    has('modelmux_batch_rows_bucket{le="4"} 2')
    has('modelmux_errors_counted_total{against="model"} 1')
    await metrics.close()
  })
})

describe('the log of requests', () => {
  function record(
    requestLogSample: number,
    random = () => 0.5,
  ): { log: RequestLog; logged: [string, EventFields, string?][] } {
    const logged: [string, EventFields, string?][] = []
    const events = {
      event: (name: string, fields: EventFields = {}, level?: string) =>
        void logged.push(level === undefined ? [name, fields] : [name, fields, level]),
      line: (name: string, fields: string) => void logged.push([name, JSON.parse(`{${fields}}`) as EventFields]),
    }
    return { log: new RequestLog(events, { requestLogSample, random }), logged }
  }

  it('writes one line with everything known of a success', () => {
    const { log, logged } = record(1)
    log.requestDone(DONE)
    const { timings: _timings, ...facts } = DONE
    assert.deepEqual(logged, [['request.done', { ...facts, queueMs: 0.4, runMs: 30 }]])
  })

  it('samples successes and never failures', () => {
    const { log, logged } = record(0.5, () => 0.5)
    log.requestDone(DONE)
    log.requestDone(failed('MODEL_NOT_FOUND'))
    assert.deepEqual(
      logged.map(([name]) => name),
      ['request.refused'],
    )
    const { log: lucky, logged: kept } = record(0.5, () => 0.49)
    lucky.requestDone(DONE)
    assert.equal(kept.length, 1)
  })

  it("logs the caller's mistakes with their message, ours with the whole error", () => {
    const { log, logged } = record(0)
    log.requestDone(failed('MODEL_NOT_FOUND'))
    const ours = failed('INFERENCE_FAILED')
    log.requestDone(ours)
    assert.equal(logged[0]?.[1].message, 'it is MODEL_NOT_FOUND')
    assert.equal('err' in (logged[0]?.[1] ?? {}), false)
    assert.equal(logged[1]?.[0], 'request.failed')
    assert.equal(logged[1]?.[1].err, ours.error)
  })

  it('says of each failure whose record it belongs in, whatever line it gets', () => {
    const { log, logged } = record(0)
    for (const code of [
      'MODEL_NOT_FOUND',
      'MODEL_QUARANTINED',
      'QUOTA_EXCEEDED',
      'WORKER_CRASHED',
      'OVERLOADED',
      'INTERNAL',
    ] as const)
      log.requestDone(failed(code))
    assert.deepEqual(
      logged.map(([event, fields]) => [event, fields.against]),
      [
        ['request.refused', 'nobody'],
        ['request.refused', 'model'],
        ['request.refused', 'tenant'],
        ['request.failed', 'model'],
        ['request.delayed', 'nobody'],
        ['request.failed', 'replica'],
      ],
    )
  })

  it('logs states that pass with their message and without a stack', () => {
    const { log, logged } = record(0)
    log.requestDone(failed('OVERLOADED'))
    assert.equal(logged[0]?.[0], 'request.delayed')
    assert.equal(logged[0]?.[1].message, 'it is OVERLOADED')
  })
})
