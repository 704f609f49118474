import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MAX_LABEL_SETS } from '../../../src/telemetry/cells.ts'
import type { MetricName, MetricRow } from '../../../src/telemetry/metric-table.ts'
import { METRICS } from '../../../src/telemetry/metric-table.ts'
import { Metrics } from '../../../src/telemetry/metrics.ts'

/** Opt-in, and bounded by the configuration. */
const BY_MODEL: ReadonlySet<string> = new Set(
  ['requests', 'errors', 'request_seconds', 'cold_starts'].map((what) => `modelmux_model_${what}_total`),
)
const ROWS = Object.entries(METRICS) as [MetricName, MetricRow][]

function quiet(): Metrics {
  return new Metrics({ onReadError: (error) => assert.fail(String(error)) })
}

describe('the table of metrics', () => {
  it('gives every name the prefix, its base unit, and _total exactly when it counts', () => {
    for (const [name, { type, unit }] of ROWS) {
      assert.match(name, /^modelmux_[a-z]+(_[a-z]+)*$/)
      assert.equal(name.endsWith('_total'), type === 'counter', name)
      const bare = name.replace(/_total$/, '')
      assert.equal(/_(seconds|bytes)$/.exec(bare)?.[1] ?? '', unit, name)
      assert.doesNotMatch(name, /_(ms|milliseconds|kb|mb|percent)(_|$)/)
    }
  })

  it('explains every metric in a sentence and bounds every histogram ascending', () => {
    for (const [name, { type, help, buckets }] of ROWS) {
      assert.match(help, /^\S.*[.]$/, name)
      assert.equal(buckets !== undefined, type === 'histogram', name)
      assert.deepEqual(
        buckets?.toSorted((a, b) => a - b),
        buckets === undefined ? undefined : [...buckets],
        name,
      )
    }
  })

  it('has no label that could have a value for each model, tenant or caller', () => {
    const rows = ROWS.filter(([name]) => !BY_MODEL.has(name))
    assert.equal(rows.length, ROWS.length - BY_MODEL.size)
    for (const [name, { labels }] of rows) {
      for (const label of labels) assert.doesNotMatch(label, /model|tenant|caller|address|path|url/, name)
    }
  })

  it('is what a scrape prints: the same names, types, helps and labels, none missing and none besides', async () => {
    const metrics = quiet()
    for (const [name, { type, labels }] of ROWS) {
      const values = Object.fromEntries(labels.map((label) => [label, `some ${label}`]))
      // One name of each kind stands for the union of them; the table has just said which kind it is.
      if (type === 'counter') metrics.counter(name as 'modelmux_loads_total').with(values as { outcome: string })
      if (type === 'gauge') metrics.observe(name as 'modelmux_disk_bytes', () => [[values as { kind: string }, 1]])
      if (type === 'histogram') {
        metrics.histogram(name as 'modelmux_phase_duration_seconds').with(values as { phase: string })
      }
    }
    const printed = readText(await metrics.render())
    const expected = ROWS.map(
      ([name, { type, help, labels }]) => [name, { type, help, labels: labels.toSorted() }] as const,
    )
    assert.deepEqual(printed, new Map(expected.toSorted(([a], [b]) => (a < b ? -1 : 1))))
    await metrics.close()
  })
})

describe('Metrics', () => {
  it('counts from zero where there are no labels, and per label set where there are', async () => {
    const metrics = quiet()
    metrics.counter('modelmux_runs_total')
    metrics.counter('modelmux_loads_total').with({ outcome: 'ok' }).add()
    metrics.counter('modelmux_loads_total').with({ outcome: 'ok' }).add(2)
    const text = await metrics.render()
    assert.match(text, /^modelmux_runs_total 0$/m)
    assert.match(text, /^modelmux_loads_total\{outcome="ok"\} 3$/m)
    await metrics.close()
  })

  it('prints histograms cumulatively, a value on a bound below it', async () => {
    const metrics = quiet()
    const rows = metrics.histogram('modelmux_batch_rows').with({})
    for (const value of [1, 2, 2, 1000]) rows.observe(value)
    const text = await metrics.render()
    assert.match(text, /^modelmux_batch_rows_bucket\{le="1"\} 1$/m)
    assert.match(text, /^modelmux_batch_rows_bucket\{le="2"\} 3$/m)
    assert.match(text, /^modelmux_batch_rows_bucket\{le="256"\} 3$/m)
    assert.match(text, /^modelmux_batch_rows_bucket\{le="\+Inf"\} 4$/m)
    assert.match(text, /^modelmux_batch_rows_sum 1005$/m)
    assert.match(text, /^modelmux_batch_rows_count 4$/m)
    await metrics.close()
  })

  it('reads gauges at each scrape, and leaves out what has nothing to say', async () => {
    const metrics = quiet()
    let depth: number | undefined = 3
    metrics.observe('modelmux_queue_depth', () => depth)
    metrics.observe('modelmux_worker_up', () => [
      [{ worker: '0' }, 1],
      [{ worker: '1' }, 0],
    ])
    assert.match(await metrics.render(), /^modelmux_queue_depth 3$/m)
    depth = undefined
    const text = await metrics.render()
    assert.doesNotMatch(text, /^modelmux_queue_depth/m)
    assert.match(text, /^modelmux_worker_up\{worker="1"\} 0$/m)
    await metrics.close()
  })

  it('waits for readers that have to ask, and forgets a label set that is gone', async () => {
    const metrics = quiet()
    const workers = new Map([
      ['0', 10],
      ['1', 20],
    ])
    metrics.observe('modelmux_worker_private_bytes', () =>
      Promise.resolve(Array.from(workers, ([worker, bytes]) => [{ worker }, bytes] as const)),
    )
    assert.match(await metrics.render(), /^modelmux_worker_private_bytes\{worker="1"\} 20$/m)
    workers.delete('1')
    assert.doesNotMatch(await metrics.render(), /worker="1"/)
    await metrics.close()
  })

  it('prints the rest when one reader throws, and tells of it', async () => {
    const errors: unknown[] = []
    const metrics = new Metrics({ onReadError: (error) => errors.push(error) })
    const broken = new Error('no such folder')
    metrics.observe('modelmux_disk_bytes', () => {
      throw broken
    })
    metrics.observe('modelmux_queue_depth', () => 1)
    assert.match(await metrics.render(), /^modelmux_queue_depth 1$/m)
    assert.deepEqual(errors, [broken])
    await metrics.close()
  })

  it('refuses a second reader of one name', async () => {
    const metrics = quiet()
    metrics.observe('modelmux_queue_depth', () => 1)
    assert.throws(() => metrics.observe('modelmux_queue_depth', () => 2), /already/)
    metrics.counter('modelmux_runs_total')
    assert.throws(() => metrics.observe('modelmux_runs_total', () => 2), /already/)
    await metrics.close()
  })

  it('folds label sets beyond the bound into one', async () => {
    const metrics = quiet()
    const loads = metrics.counter('modelmux_loads_total')
    for (let i = 0; i < MAX_LABEL_SETS + 50; i++) loads.with({ outcome: `o${i}` }).add()
    const lines = (await metrics.render()).split('\n').filter((line) => line.startsWith('modelmux_loads_total{'))
    assert.equal(lines.length, MAX_LABEL_SETS)
    assert.ok(lines.includes('modelmux_loads_total{outcome="other"} 51'))
    await metrics.close()
  })

  it('escapes label values', async () => {
    const metrics = quiet()
    metrics.counter('modelmux_loads_total').with({ outcome: 'a"b\\c\nd' }).add()
    assert.ok((await metrics.render()).includes('modelmux_loads_total{outcome="a\\"b\\\\c\\nd"} 1'))
    await metrics.close()
  })
})

interface Printed {
  readonly type: string
  readonly help: string
  readonly labels: string[]
}

/** Prometheus' text taken apart: families by name, with the labels of their samples (a bucket's `le` is the format's own). */
function readText(text: string): Map<string, Printed> {
  const helps = new Map(Array.from(text.matchAll(/^# HELP (\S+) (.*)$/gm), ([, name = '', help = '']) => [name, help]))
  const families = new Map<string, Printed>()
  for (const [, name = '', type = ''] of text.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
    const samples = text.matchAll(new RegExp(`^${name}(?:_bucket|_sum|_count)?(?:\\{(.*)\\})? `, 'gm'))
    const labels = new Set<string>()
    for (const [, pairs = ''] of samples) for (const [, label = ''] of pairs.matchAll(/([a-z_]+)="/g)) labels.add(label)
    labels.delete('le')
    families.set(name, { type, help: helps.get(name) ?? '', labels: [...labels].toSorted() })
  }
  const named = new Set(
    Array.from(text.matchAll(/^([a-z_]+)[ {]/gm), ([, name = '']) => name.replace(/_(bucket|sum|count)$/, '')),
  )
  for (const name of named) assert.ok(families.has(name), `${name} is printed without a type`)
  return new Map([...families].toSorted(([a], [b]) => (a < b ? -1 : 1)))
}
