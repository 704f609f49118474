import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { type FaultFinding, type FaultRow, NotRunnable } from '../../../../loadtest/faults/fault.ts'
import { FAULT_ROWS } from '../../../../loadtest/faults/index.ts'
import { runFaults } from '../../../../loadtest/faults/runner.ts'

const GOOD: FaultFinding = { seconds: 1, measured: 'until it was well', problems: [] }

function row(run: FaultRow['run']): FaultRow {
  return { number: 1, fault: 'something', injected: 'by hand', expected: 'all well', limitSeconds: 2, run }
}

describe('a fault run', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'modelmux-faults-'))
  after(() => rm(folder, { recursive: true }))
  const verdictOf = async (run: FaultRow['run']) => {
    const options = { folder, isQuick: true, signal: new AbortController().signal, progress: () => {} }
    const [result] = await runFaults([row(run)], options)
    return [result?.verdict, ...(result?.problems ?? [])]
  }

  it('passes when all holds in time', async () => {
    assert.deepEqual(await verdictOf(() => Promise.resolve(GOOD)), ['passed'])
  })

  it('fails past its limit, on anything that does not hold, and when it cannot be staged', async () => {
    assert.deepEqual(await verdictOf(() => Promise.resolve({ ...GOOD, seconds: 3 })), [
      'failed',
      'took 3.00 s, limit 2 s',
    ])
    assert.deepEqual(await verdictOf(() => Promise.resolve({ ...GOOD, problems: ['lost one'] })), [
      'failed',
      'lost one',
    ])
    assert.deepEqual(await verdictOf(() => Promise.resolve({ ...GOOD, seconds: Number.NaN })), [
      'failed',
      'took NaN s, limit 2 s',
    ])
    assert.deepEqual(await verdictOf(() => Promise.reject(new Error('no server'))), ['failed', 'no server'])
  })

  it('is never passed where the machine cannot run it', async () => {
    assert.deepEqual(await verdictOf(() => Promise.reject(new NotRunnable('needs a GPU'))), ['not run'])
  })

  it('undoes what it did, last first, whatever became of it', async () => {
    const undone: string[] = []
    await verdictOf((stage) => {
      for (const what of ['mount', 'socket']) {
        stage.afterwards(() => {
          undone.push(what)
          return Promise.resolve()
        })
      }
      return Promise.reject(new Error('half way'))
    })
    assert.deepEqual(undone, ['socket', 'mount'])
  })

  it('has each row of a single machine once', () => {
    const numbers = FAULT_ROWS.map(({ number }) => number)
    assert.deepEqual(
      numbers,
      [9, 10, 11, 12, 13, 14, 17, 18, 30, 31, 32, 33, 34, 35, 36, 41, 42, 43, 44, 45, 46, 47, 50],
    )
  })
})
