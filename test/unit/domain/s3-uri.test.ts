import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseS3Folder, parseS3Location, s3FolderProblem, s3Location } from '../../../src/domain/s3-uri.ts'

describe('the place of a folder in S3', () => {
  it('is a bucket, or a prefix of it, with or without a slash at the end', () => {
    assert.deepEqual(parseS3Folder('s3://models'), { bucket: 'models', prefix: '' })
    assert.deepEqual(parseS3Folder('s3://models/'), { bucket: 'models', prefix: '' })
    assert.deepEqual(parseS3Folder('s3://models/team a/prod'), { bucket: 'models', prefix: 'team a/prod/' })
    assert.deepEqual(parseS3Folder('s3://models/team a/prod/'), { bucket: 'models', prefix: 'team a/prod/' })
  })

  it('is nothing that could be taken for another place', () => {
    for (const text of [
      'models',
      'https://models',
      's3://',
      's3:///x',
      's3://a',
      's3://mo dels/x',
      's3://user:key@models/x',
    ])
      assert.ok(s3FolderProblem(text) !== undefined, text)
    for (const prefix of ['/x', 'a//b', 'a/../b', '.', 'a/b//', 'x'.repeat(1025)])
      assert.ok(s3FolderProblem(`s3://models/${prefix}`) !== undefined, prefix)
    assert.throws(() => parseS3Folder('s3://models/../x'), /is no folder in S3/)
  })

  it('keeps a key as it is, whatever characters it has', () => {
    for (const key of ['a/b.onnx', 'a b+c%2F?#.onnx', 'é😀/1'])
      assert.deepEqual(parseS3Location(s3Location('models', key)), { bucket: 'models', key })
  })
})
