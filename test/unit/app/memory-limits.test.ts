import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, it } from 'node:test'
import { budgetBytes, systemMappings, workerLimits } from '../../../src/app/memory-limits.ts'
import { loadConfig } from '../../../src/config/load.ts'

const GiB = 2 ** 30
const MiB = 2 ** 20
const { cache, worker } = loadConfig({ env: {}, folders: 'ignore' })

describe('the memory for open models', () => {
  it('is what the configuration says, or a share of the limit', () => {
    assert.equal(budgetBytes({ ...cache, memoryBytes: 2 * GiB }, 10 * GiB), 2 * GiB)
    assert.equal(budgetBytes(cache, 10 * GiB), 7 * GiB)
  })
})

describe('the memory at which workers are killed', () => {
  it('leaves room for every promise of the ledger twice, and stays below what the system would act on', () => {
    const small = workerLimits(worker, 4, 2 * GiB, 100 * GiB)
    assert.deepEqual(small, { eachBytes: 5 * GiB, togetherBytes: 5 * GiB })
    const whole = workerLimits(worker, 4, 7 * GiB, 10 * GiB)
    assert.deepEqual(whole, { eachBytes: 9 * GiB, togetherBytes: 9 * GiB })
  })

  it('is one limit for each where the configuration says so, and that for all together besides', () => {
    const { eachBytes, togetherBytes } = workerLimits({ ...worker, memoryBytes: 512 * MiB }, 2, GiB, 100 * GiB)
    assert.deepEqual([eachBytes, togetherBytes], [512 * MiB, 2 * GiB + 512 * MiB])
    assert.equal(workerLimits({ ...worker, memoryBytes: 50 * GiB }, 2, GiB, 10 * GiB).eachBytes, 2 * GiB + 512 * MiB)
  })
})

describe('the mappings of a worker', () => {
  it('are most of what this system allows a process', async () => {
    const limit = Number(await readFile('/proc/sys/vm/max_map_count', 'latin1'))
    assert.equal(await systemMappings(), Math.floor(0.8 * limit))
  })
})
