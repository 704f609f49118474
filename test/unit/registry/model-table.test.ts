import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { ModelTable } from '../../../src/registry/model-table.ts'
import type { ModelReport } from '../../../src/registry/scan-messages.ts'
import { PLAIN_SETTINGS } from '../../support/model-version.ts'

const MODELS = 10_000

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

function usedHeap(): number {
  collectGarbage()
  return process.memoryUsage().heapUsed
}

/** As a report arrives from another thread: every string a copy of its own. */
function reportOf(index: number, settings?: string): ModelReport {
  return structuredClone({
    name: `customer-${index % 500}/fine-tuned-model-${index}`,
    versions: [{ version: '1', sourceId: `${index}`.padStart(24, 'a'), modelFile: 'model.onnx', bytes: index }],
    pending: [],
    aliases: [],
    ...(settings === undefined ? {} : { settings }),
  })
}

describe('ModelTable', () => {
  it('keeps each of ten thousand models in less than a KiB', () => {
    const table = new ModelTable(PLAIN_SETTINGS, 1000)
    const before = usedHeap()
    for (let i = 0; i < MODELS; i++) table.apply(reportOf(i))
    const perModel = (usedHeap() - before) / MODELS
    assert.equal(table.size, MODELS)
    assert.ok(perModel < 1024, `${perModel} bytes a model`)
  })

  it('shares one settings object among all models with the same settings', () => {
    const table = new ModelTable(PLAIN_SETTINGS, 1000)
    const json = JSON.stringify({ ...PLAIN_SETTINGS, intraOpThreads: 2 })
    for (const [index, settings] of [json, json, undefined].entries()) table.apply(reportOf(index, settings))
    const [first, second, third] = [...table.list()].map(({ settings }) => settings)
    assert.equal(first, second)
    assert.equal(first?.intraOpThreads, 2)
    assert.equal(third, PLAIN_SETTINGS)
  })

  it('counts versions as they come and go', () => {
    const table = new ModelTable(PLAIN_SETTINGS, 1000)
    const report = reportOf(1)
    const [version] = report.versions
    assert.ok(version !== undefined)
    table.apply({ ...report, versions: [version, { ...version, version: '2' }] })
    assert.deepEqual([table.size, table.versionCount], [1, 2])
    table.apply(report)
    assert.deepEqual([table.size, table.versionCount], [1, 1])
    table.apply({ ...report, versions: [] })
    assert.deepEqual([table.size, table.versionCount], [0, 0])
  })

  it('finds each of thousands of versions of one model', () => {
    const table = new ModelTable(PLAIN_SETTINGS, 1000)
    const [template] = reportOf(0).versions
    assert.ok(template !== undefined)
    const versions = Array.from({ length: 3000 }, (_, index) => ({ ...template, version: `${index * 3}` }))
    table.apply({ name: 'churn', versions, pending: ['9001'], aliases: [] })
    for (const { version } of versions) assert.equal(table.resolve({ name: 'churn', version })?.version, version)
    assert.throws(() => table.resolve({ name: 'churn', version: '4' }), { code: 'VERSION_NOT_FOUND' })
    assert.throws(() => table.resolve({ name: 'churn', version: '9001' }), { code: 'MODEL_LOADING' })
    assert.equal(table.resolve({ name: 'churn' })?.version, '8997')
  })
})
