import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parsePss, parseStat, readTreeUsage } from '../../../../loadtest/measure/process-tree.ts'

describe('process tree', () => {
  it('reads a stat line whose command holds blanks and parentheses', () => {
    const line = '77 (my (odd) name) S 12 77 77 0 -1 4194304 100 200 0 0 31 9 5 2 20 0 8 0 12345 1000 50'
    assert.deepEqual(parseStat(line), { pid: 77, parent: 12, cpuTicks: 47 })
  })

  it('reads the proportional set size and no other size', () => {
    assert.equal(parsePss('Rss:  900 kB\nPss:   120 kB\nPss_Dirty:  80 kB\n'), 122_880)
    assert.equal(parsePss(''), 0)
  })

  it('counts this process with its memory and CPU time', async () => {
    const usage = await readTreeUsage(process.pid)
    assert.ok(usage.processes >= 1)
    assert.ok(usage.privateBytes > 1e6 && usage.pssBytes > usage.privateBytes / 2)
    assert.ok(usage.cpuSeconds > 0)
  })
})
