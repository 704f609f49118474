import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { curlLine } from '../../../../loadtest/demo/curl-line.ts'
import { LiveTable } from '../../../../loadtest/demo/live-table.ts'
import { readDemoOptions } from '../../../../loadtest/demo/options.ts'
import type { LoadReport } from '../../../../loadtest/generator/plan.ts'
import { MetricsSnapshot } from '../../../../loadtest/measure/metrics.ts'
import { modelClass } from '../../../../loadtest/models/index.ts'

describe('curl line', () => {
  it('names the model in the header alone and quotes so that a shell passes it on unchanged', () => {
    const { command, expected, model } = curlLine(
      'http://127.0.0.1:8080',
      modelClass('XS'),
      { customer: 42, family: 'head', seed: 1 },
      64,
    )
    assert.equal(model, 'customer-0042/churn')
    const parts = /^curl -s http:\/\/127\.0\.0\.1:8080\/v2\/infer -H '([^']+)' -d '([^']+)'$/.exec(command)
    assert.equal(parts?.[1], 'serve_multiplexed_model_id: customer-0042/churn')
    const { inputs } = JSON.parse(parts[2] ?? '') as { inputs: { shape: number[]; data: number[] }[] }
    assert.deepEqual(inputs[0]?.shape, [1, 64])
    assert.equal(inputs[0].data.length, 64)
    assert.equal(expected.length, 8)
    assert.ok(expected.every(Number.isFinite))
  })

  it('expects another answer of another customer', () => {
    const of = (customer: number) =>
      curlLine('http://x', modelClass('XS'), { customer, family: 'head', seed: 1 }, 64).expected
    assert.notDeepEqual(of(1), of(2))
  })
})

describe('demo options', () => {
  it('have defaults for everything', () => {
    assert.deepEqual(readDemoOptions([]), {
      models: 1000,
      port: 8080,
      folder: '.demo',
      hasTraffic: false,
      seconds: undefined,
      showsLog: false,
    })
  })

  it('name the flag that is wrong', () => {
    assert.throws(
      () => readDemoOptions(['--port', '99999']),
      /--port is '99999', expected a whole number from 0 to 65535/,
    )
    assert.throws(() => readDemoOptions(['--models', 'many']), /--models is 'many'/)
    assert.throws(() => readDemoOptions(['--trafic']), /trafic/)
    assert.equal(readDemoOptions(['--help']), undefined)
  })
})

describe('live table', () => {
  const report: LoadReport = {
    seconds: 1,
    rps: 1500,
    latency: { count: 1500, mean: 2, p50: 1.5, p95: 3, p99: 4, max: 9 },
    lateness: { count: 0, mean: 0, p50: 0, p95: 0, p99: 0, max: 0 },
    answered: 1500,
    wrong: 0,
    errors: { timeout: 2 },
    cache: {},
    generatorCpu: 0.3,
  }
  const metrics = (hits: number, loads: number) =>
    MetricsSnapshot.parse(
      `modelmux_cache_outcomes_total{outcome="hit"} ${hits}\nmodelmux_cache_outcomes_total{outcome="compile"} ${loads}\nmodelmux_loads_total{outcome="ok"} ${loads}\nmodelmux_models_resident ${loads}\nmodelmux_ledger_bytes{kind="private"} 1048576`,
    )

  function rows(isTTY: boolean): string {
    let text = ''
    const table = new LiveTable({ isTTY, write: (part: string) => (text += part) })
    table.add(report, metrics(100, 50))
    table.add(report, metrics(190, 60))
    table.end()
    return text
  }

  it('shows what counters grew by, totals as they are, errors since the start', () => {
    const [head = '', first = '', second = ''] = rows(false).split('\n')
    assert.match(head, /answers\/s +p50 ms +p99 ms +hit ratio +loads\/s +resident +memory +errors/)
    assert.deepEqual(first.trim().split(/ +/), ['1', '1,500', '1.50', '4', '-', '-', '50', '1.0', 'MiB', '2'])
    assert.deepEqual(second.trim().split(/ +/), ['2', '1,500', '1.50', '4', '0.900', '10', '60', '1.0', 'MiB', '4'])
  })

  it('writes over its row on a terminal', () => {
    assert.equal(rows(true).match(/\r\u001b\[2K/g)?.length, 2)
    assert.equal(rows(true).split('\n').length, 3)
  })
})
