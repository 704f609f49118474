import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type SourceFileFacts, sourceIdOf } from '../../../src/domain/source-identity.ts'

const graph: SourceFileFacts = {
  path: 'model.onnx',
  bytes: 10,
  mtimeNs: 1_700_000_000_000_000_001n,
  ctimeNs: 1_700_000_000_000_000_002n,
  inode: 7n,
}
const weights: SourceFileFacts = { path: 'weights/w.bin', bytes: 99, mtimeNs: 5n, ctimeNs: 6n, inode: 8n }

describe('sourceIdOf', () => {
  it('does not depend on the order in which files were found', () => {
    assert.equal(sourceIdOf([graph, weights]), sourceIdOf([weights, graph]))
    assert.match(sourceIdOf([graph]), /^[0-9a-f]{24}$/)
  })

  it('changes with every fact of every file, down to the nanosecond', () => {
    const ids = [
      [graph, weights],
      [graph],
      [{ ...graph, path: 'model.ort' }, weights],
      [{ ...graph, bytes: 11 }, weights],
      [{ ...graph, mtimeNs: graph.mtimeNs + 1n }, weights],
      [{ ...graph, ctimeNs: graph.ctimeNs + 1n }, weights],
      [{ ...graph, inode: 9n }, weights],
    ].map(sourceIdOf)
    assert.equal(new Set(ids).size, ids.length)
  })

  it('cannot be fooled by a path that looks like the facts of another file', () => {
    const joined = { ...graph, path: 'a","1","2","3","4"],["b' }
    const apart = [
      { ...graph, path: 'a' },
      { ...graph, path: 'b' },
    ]
    assert.notEqual(sourceIdOf([joined]), sourceIdOf(apart))
  })
})
