import assert from 'node:assert/strict'
import { access, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { modelBytes, modelClass, writeFolder } from '../../../../loadtest/models/index.ts'

const SET = { family: 'head', seed: 1, customers: 6 } as const

describe('writeFolder', () => {
  const xs = modelClass('XS')
  const { name: className, families, tolerance, isBatchSafe } = xs
  const SHAPE = { name: className, families, tolerance, isBatchSafe }
  let root = ''
  const modelPath = (name: string): string => join(root, name, '1', 'model.onnx')

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'zoo-folder-'))
  })
  afterEach(() => rm(root, { recursive: true, force: true }))

  it('writes every customer under the name that it gives, and says how far it is', async () => {
    const seen: number[] = []
    const { names, written, bytes } = await writeFolder(root, xs, SET, ({ done }) => seen.push(done))
    assert.deepEqual([names.length, names[0], names[5]], [6, 'customer-0001/churn', 'customer-0006/churn'])
    assert.equal(written, 6)
    assert.deepEqual(seen, [1, 2, 3, 4, 5, 6])
    let total = 0
    for (const [i, name] of names.entries()) {
      const file = await readFile(modelPath(name))
      total += file.byteLength
      assert.deepEqual(file, modelBytes(xs.build({ customer: i + 1, family: 'head', seed: 1 })))
    }
    assert.equal(bytes, total)
  })

  it('writes only the customers that are not there yet', async () => {
    const { names } = await writeFolder(root, xs, SET)
    await writeFile(modelPath(names[0] ?? ''), 'untouched')
    const again = await writeFolder(root, xs, { ...SET, customers: 9 })
    assert.deepEqual([again.skipped, again.written], [6, 3])
    assert.equal(await readFile(modelPath(names[0] ?? ''), 'utf8'), 'untouched')
    const seen: number[] = []
    const nothing = await writeFolder(root, xs, SET, ({ done }) => seen.push(done))
    assert.deepEqual([nothing.skipped, nothing.written, seen], [6, 0, [6]])
  })

  it('replaces a set of the same names that was made from another recipe, and leaves everything else', async () => {
    const { names } = await writeFolder(root, xs, SET)
    await writeFolder(root, xs, { ...SET, prefix: 'other' })
    await writeFile(join(root, 'notes.txt'), 'mine')
    const { written } = await writeFolder(root, xs, { ...SET, seed: 2, customers: 2 })
    assert.equal(written, 2)
    assert.deepEqual(
      await readFile(modelPath(names[0] ?? '')),
      Buffer.from(modelBytes(xs.build({ customer: 1, family: 'head', seed: 2 }))),
    )
    await assert.rejects(access(modelPath(names[5] ?? '')), { code: 'ENOENT' })
    const left = (await readdir(root)).filter((name) => !name.startsWith('.')).sort()
    assert.deepEqual(left, [
      'customer-0001',
      'customer-0002',
      'notes.txt',
      ...Array.from({ length: 6 }, (_, i) => `other-000${i + 1}`),
    ])
  })

  it('resumes after the last model that an interrupted call finished', async () => {
    const interrupted: typeof xs = {
      ...SHAPE,
      build: (recipe) => {
        if (recipe.customer === 5) throw new Error('disk gone')
        return xs.build(recipe)
      },
      sampleInputs: (rng, batch) => xs.sampleInputs(rng, batch),
      expected: (recipe, inputs) => xs.expected(recipe, inputs),
    }
    await assert.rejects(writeFolder(root, interrupted, SET), /disk gone/)
    const { names, skipped, written } = await writeFolder(root, xs, SET)
    assert.deepEqual([skipped, written], [4, 2])
    for (const name of names) await access(modelPath(name))
  })
})
