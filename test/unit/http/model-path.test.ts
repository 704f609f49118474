import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { refOf, splitModelPath } from '../../../src/http/model-path.ts'

describe('paths of models', () => {
  for (const [path, action, ref] of [
    ['/v2/models/m', 'metadata', { name: 'm' }],
    ['/v2/models/a/b/c', 'metadata', { name: 'a/b/c' }],
    ['/v2/models/a%2Fb/ready', 'ready', { name: 'a/b' }],
    ['/v2/models/m/versions/3', 'metadata', { name: 'm', version: '3' }],
    ['/v2/models/a/b/versions/3/stats', 'stats', { name: 'a/b', version: '3' }],
    ['/v2/models/m:3/config', 'config', { name: 'm', version: '3' }],
    ['/v2/models/ready/now', 'metadata', { name: 'ready/now' }],
    ['/v2/models/m/infer', 'infer', { name: 'm' }],
  ] as const) {
    it(`reads ${path} from both ends`, () => {
      const found = splitModelPath(path)
      assert.equal(found.action, action)
      assert.deepEqual(refOf(found), ref)
      assert.equal(found.isVersioned, path.includes('/versions/'))
    })
  }

  for (const path of [
    '/v2/models/',
    '/v2/models//ready',
    '/v2/models/../ready',
    '/v2/models/m/versions',
    '/v2/models/m/versions/x/ready',
    '/v2/models/m%00',
  ]) {
    it(`refuses ${path}`, () => {
      assert.throws(() => refOf(splitModelPath(path)), { code: 'BAD_MODEL_REF' })
    })
  }
})
