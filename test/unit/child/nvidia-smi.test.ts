import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Query } from '../../../src/child/nvidia-smi.ts'
import {
  askNvidiaSmi,
  parseGpuMemory,
  parseProcessBytes,
  readGpuMemory,
  readProcessGpuBytes,
  smiId,
} from '../../../src/child/nvidia-smi.ts'

const MiB = 2 ** 20

describe('what nvidia-smi tells', () => {
  it('is the total and the used memory of a GPU, in MiB', () => {
    assert.deepEqual(parseGpuMemory('143771, 512\n'), { totalBytes: 143_771 * MiB, usedBytes: 512 * MiB })
    for (const text of ['', '[N/A], [N/A]', 'No devices were found', '1000'])
      assert.equal(parseGpuMemory(text), undefined)
  })

  it('is what each process holds, once for each instance of a divided GPU', () => {
    assert.equal(parseProcessBytes('41, 300\n1234, 512\n1234, 256\n', 1234), 768 * MiB)
    assert.equal(parseProcessBytes('41, 300\n', 1234), undefined)
    assert.equal(parseProcessBytes('1234, [N/A]\n', 1234), undefined)
    assert.equal(parseProcessBytes('', 0), undefined)
  })

  it('is asked for the GPU that CUDA counts, which may be one of few that it is shown', () => {
    assert.equal(smiId(1, undefined), '1')
    assert.equal(smiId(1, ''), '1')
    assert.equal(smiId(1, '4, 7'), '7')
    assert.equal(smiId(0, 'GPU-8f2a'), 'GPU-8f2a')
    assert.equal(smiId(3, '4,7'), '3')
  })

  it('is nothing where there is no such program, or it says no', async () => {
    const nobody: Query = () => Promise.resolve(undefined)
    assert.equal(await readGpuMemory(0, nobody), undefined)
    assert.equal(await readProcessGpuBytes(0, 1, nobody), undefined)
    // On a machine with a GPU it says what it does not know.
    assert.equal(await askNvidiaSmi(['--no-such-option']), undefined)
  })

  it('is asked in one line without heads and units', async () => {
    const asked: (readonly string[])[] = []
    const ask: Query = (args) => {
      asked.push(args)
      return Promise.resolve('10, 5')
    }
    await readGpuMemory(0, ask)
    assert.equal(await readProcessGpuBytes(0, 10, ask), 5 * MiB)
    for (const args of asked) assert.ok(args.includes('--format=csv,noheader,nounits'))
  })
})
