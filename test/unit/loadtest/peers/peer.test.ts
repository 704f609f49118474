import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { modelsThatFit, reasonOf } from '../../../../loadtest/peers/peer.ts'

describe('models that fit into a peer', () => {
  const memory = { memoryBytes: 1000, replicas: 2, bytesPerModel: 10 }

  it('are all that are wanted where each replica’s part of seven tenths holds them', () => {
    assert.equal(modelsThatFit(35, memory), 35)
  })

  it('are no more than that part holds', () => {
    assert.equal(modelsThatFit(36, memory), 35)
  })

  it('are one at least, however large', () => {
    assert.equal(modelsThatFit(5, { ...memory, bytesPerModel: 10_000 }), 1)
  })
})

describe('reason why a peer is absent', () => {
  it('is the last thing that the installer said', () => {
    const error = Object.assign(new Error('Command failed: timeout 600 bash install.sh'), {
      stderr: 'Looking in indexes\nERROR: No matching distribution found for ray==2.60.0\n\n',
    })
    assert.equal(reasonOf(error), 'ERROR: No matching distribution found for ray==2.60.0')
  })

  it('is the end of a server’s log', () => {
    assert.equal(reasonOf(new Error('the server did not start:\nTraceback\nOSError: no space')), 'OSError: no space')
  })

  it('tells no path of the machine', () => {
    assert.equal(reasonOf(new Error("spawn '/home/jane/peers/bin/python' ENOENT")), "spawn '…' ENOENT")
  })

  it('is never empty', () => {
    assert.equal(reasonOf(Object.assign(new Error('killed'), { stderr: '' })), 'killed')
    assert.equal(reasonOf(''), 'it ended without a word')
  })
})
