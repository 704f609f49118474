import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { chooseCoding } from '../../../src/http/accept-encoding.ts'

describe('chooseCoding', () => {
  for (const [header, wanted] of [
    [undefined, undefined],
    ['', undefined],
    ['gzip', 'gzip'],
    ['deflate', 'deflate'],
    ['gzip, deflate', 'gzip'],
    ['deflate, gzip', 'gzip'],
    ['gzip;q=0.5, deflate;q=0.8', 'deflate'],
    ['GZIP ; Q=1.000', 'gzip'],
    ['x-gzip', 'gzip'],
    ['br, zstd', undefined],
    ['br;q=1.0, gzip;q=0.2', 'gzip'],
    ['gzip;q=0', undefined],
    ['gzip;q=0, deflate', 'deflate'],
    ['*', 'gzip'],
    ['*;q=0', undefined],
    ['gzip;q=0, *', 'deflate'],
    ['identity', undefined],
    ['identity, gzip', 'gzip'],
    ['identity, gzip;q=0.9', undefined],
    ['identity;q=0, gzip;q=0.1', 'gzip'],
    ['gzip;q=2', undefined],
    ['gzip;q=x', undefined],
    ['gzip;q=', undefined],
    [', ,gzip,,', 'gzip'],
    [`gzip${','.repeat(5000)}`, undefined],
  ] as const) {
    it(`chooses ${wanted ?? 'the plain answer'} for ${JSON.stringify(header?.slice(0, 60))}`, () => {
      assert.equal(chooseCoding(header), wanted)
    })
  }
})
