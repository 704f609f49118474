import assert from 'node:assert/strict'
import { test } from 'node:test'
import { locationProblem } from '../../../src/artifact/external-files.ts'

test('a location is a relative path downwards, and nothing else', () => {
  for (const good of ['model.onnx.data', 'weights/a.bin', 'a..b', 'ünï', 'a./x']) {
    assert.equal(locationProblem(good), undefined, good)
  }
  for (const bad of [
    '/etc/passwd',
    '../x',
    'a/../../x',
    'a/..',
    '',
    'a/',
    'a//x',
    './x',
    'a/./x',
    '.hidden',
    'a/.hidden/x',
    '..data/x',
    'C:/x',
    'c:x',
    'a\\b',
    'a\0b',
    '*/_ORT_MEM_ADDR_/*',
  ]) {
    assert.notEqual(locationProblem(bad), undefined, bad)
  }
})
