import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Circuit } from '../../../src/lib/circuit.ts'

describe('Circuit', () => {
  it('opens after failures in a row, and no sooner', () => {
    const circuit = new Circuit({ failures: 2, openMs: 100 })
    assert.equal(circuit.take(0), true)
    assert.equal(circuit.failed(0), false)
    assert.equal(circuit.succeeded(), false)
    assert.equal(circuit.failed(1), false)
    assert.equal(circuit.take(1), true)
    assert.equal(circuit.failed(2), true)
    assert.equal(circuit.take(3), false)
    // Somebody who asked before it opened.
    assert.equal(circuit.failed(3), false)
  })

  it('lets one caller try after a while, and everybody once that went well', () => {
    const circuit = new Circuit({ failures: 1, openMs: 100 })
    circuit.failed(0)
    assert.equal(circuit.take(99), false)
    assert.equal(circuit.take(100), true)
    assert.equal(circuit.take(101), false)
    assert.equal(circuit.failed(150), false)
    assert.equal(circuit.take(249), false)
    assert.equal(circuit.take(250), true)
    assert.equal(circuit.succeeded(), true)
    assert.equal(circuit.take(251), true)
    assert.equal(circuit.take(251), true)
  })

  it('lets another try when the one that tried never said how it went', () => {
    const circuit = new Circuit({ failures: 1, openMs: 100 })
    circuit.failed(0)
    assert.equal(circuit.take(100), true)
    assert.equal(circuit.take(200), true)
  })
})
