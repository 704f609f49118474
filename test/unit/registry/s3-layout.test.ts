import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { FoundModel, FoundObject } from '../../../src/registry/remote-model.ts'
import { modelsIn } from '../../../src/registry/s3-layout.ts'

const FOLDER = { bucket: 'models', prefix: 'prod/' }

function found(paths: readonly string[]): { models: FoundModel[]; problems: string[] } {
  const objects = paths.map((path, index): FoundObject => ({ path, bytes: 10, etag: `"${index}"`, modifiedMs: index }))
  const problems: string[] = []
  const models = modelsIn(objects, FOLDER, (event, path, problem) => problems.push(`${event} ${path}: ${problem}`))
  return { models, problems }
}

function summary(paths: readonly string[]): string[] {
  return found(paths).models.map(
    ({ name, versions }) =>
      `${name} ${versions.map(({ facts, files }) => `${facts.version}(${files.map(({ path }) => path).join(' ')})`).join(' ')}`,
  )
}

describe('the layout of models in a bucket', () => {
  it('is that of a folder: names of up to four segments, versions by number, files beside the model file', () => {
    assert.deepEqual(
      summary([
        'a/b/c/d/10/model.onnx',
        'a/b/c/d/10/weights/w.bin',
        'a/b/c/d/9/model.ort',
        'a/b/c/d/aliases.json',
        'a/b/c/d/notes.txt',
        'a/b/c/d/notes/1/x.bin',
        'a/b/c/d/e/1/model.onnx',
      ]),
      ['a/b/c/d 9(model.ort) 10(model.onnx weights/w.bin)'],
    )
  })

  it('is not looked at where a name begins with a dot, nor where a program made a folder of an empty object', () => {
    assert.deepEqual(
      summary([
        '.git/1/model.onnx',
        'a/.hidden/1/model.onnx',
        'a/1/.model.onnx',
        'b/',
        'b/1/',
        'b/1/model.onnx',
        '../1/model.onnx',
      ]),
      ['b 1(model.onnx)'],
    )
  })

  it('ends at the topmost folder with versions, whatever the order of the objects', () => {
    const paths = ['acme/2024/1/model.onnx', 'acme/2024/model.onnx', 'acme/x/1/model.onnx', 'acme/x.tar.gz']
    for (const order of [paths, paths.toReversed()])
      assert.deepEqual(
        found(order).models.map(({ name, versions }) => [name, ...versions.map(({ facts }) => facts.version)]),
        [['acme', '2024']],
      )
    assert.deepEqual(summary(['acme/2024/1/model.onnx']), ['acme/2024 1(model.onnx)'])
  })

  it('says what it leaves out, and why', () => {
    const { models, problems } = found([
      '1/model.onnx',
      'churn/model.onnx',
      'bad@name/1/model.onnx',
      'infer.tar.gz',
      'both/1/model.onnx',
      'both.tar.gz',
    ])
    assert.deepEqual(
      models.map(({ name }) => name),
      ['both'],
    )
    assert.equal(problems.length, 5)
    for (const [index, part] of [
      /versions lie directly/,
      /outside a version/,
      /bad@name: a segment holds one of/,
      /infer.tar.gz: its last segment 'infer'/,
      /both.tar.gz: there is a folder/,
    ].entries())
      assert.match(problems[index] ?? '', part)
  })

  it('refuses a version whose keys cannot be files', () => {
    const problemOf = (...files: string[]) =>
      found(['a/1/model.onnx', ...files.map((file) => `a/1/${file}`)]).models[0]?.versions[0]?.facts.problem
    assert.equal(problemOf('w.bin'), undefined)
    assert.match(problemOf('x/y', 'x') ?? '', /'x' is a file and a folder/)
    assert.match(problemOf('x//y') ?? '', /cannot be the name of a file/)
    assert.match(problemOf('x\\y') ?? '', /cannot be the name of a file/)
    assert.match(problemOf('x\0y') ?? '', /cannot be the name of a file/)
    assert.match(problemOf('x'.repeat(256)) ?? '', /cannot be the name of a file/)
    assert.match(problemOf('a/b/c/d/e/f/g/h/i/j') ?? '', /deeper than 8 folders/)
    assert.match(problemOf(...Array.from({ length: 10_001 }, (_, index) => `f${index}`)) ?? '', /more than 10000 files/)
  })

  it('gives a version another source when an object of it is another, or is gone, or is elsewhere', () => {
    const sourceOf = (objects: readonly FoundObject[], bucket = 'models') =>
      modelsIn(objects, { ...FOLDER, bucket }, () => {})[0]?.versions[0]?.facts.sourceId
    const objects = ['a/1/model.onnx', 'a/1/w.bin'].map((path) => ({ path, bytes: 10, etag: '"1"', modifiedMs: 0 }))
    const sources = [
      sourceOf(objects),
      sourceOf(objects.map((object) => ({ ...object, etag: '"2"' }))),
      sourceOf(objects.map((object) => ({ ...object, bytes: 11 }))),
      sourceOf(objects.slice(0, 1)),
      sourceOf(objects, 'other'),
    ]
    assert.equal(new Set(sources).size, sources.length)
    assert.equal(sourceOf(objects.toReversed()), sources[0])
    assert.equal(sourceOf(objects.map((object) => ({ ...object, modifiedMs: 5 }))), sources[0])
  })
})
