import assert from 'node:assert/strict'
import { totalmem } from 'node:os'
import { describe, it } from 'node:test'
import { countMappings, memoryLimitBytes, parseStatus, readProcessMemory } from '../../../src/child/memory.ts'

describe('memory of a process', () => {
  it('is read from the fields of its status', () => {
    const status = 'Name:\tnode\nVmRSS:\t  2048 kB\nRssAnon:\t     512 kB\nRssFile:\t 1536 kB\n'
    assert.deepEqual(parseStatus(status), { privateBytes: 512 * 1024, residentBytes: 2048 * 1024 })
  })

  it('is nothing for fields that are not there, as in a zombie', () => {
    assert.deepEqual(parseStatus('Name:\tnode\nState:\tZ (zombie)\n'), { privateBytes: 0, residentBytes: 0 })
  })

  it('is known for this process, and undefined for one that is gone', async () => {
    const memory = await readProcessMemory('self')
    assert.ok(memory !== undefined && memory.privateBytes > 2 ** 20 && memory.residentBytes >= memory.privateBytes)
    assert.equal(await readProcessMemory(2 ** 22 + 1), undefined)
  })

  it('lies in mappings that can be counted', async () => {
    assert.ok((await countMappings('self')) > 10)
  })

  it('is limited by the machine at most', async () => {
    const limit = await memoryLimitBytes()
    assert.ok(limit > 0 && limit <= totalmem())
  })
})
