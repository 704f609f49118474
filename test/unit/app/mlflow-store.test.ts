import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { MlflowStore } from '../../../src/app/mlflow-store.ts'
import { modelVersion } from '../../support/model-version.ts'

describe('a staged version of MLflow', () => {
  let dir: string
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'modelmux-mlflow-store-'))
  })
  after(() => rm(dir, { recursive: true, force: true }))

  it('is the file that its MLmodel names, and none outside of its own', async () => {
    const files = ['MLmodel', 'graph.onnx'].map((path) => ({ path, bytes: 1 }))
    let released = 0
    const staged = { dir, modelFile: 'model.onnx', files, bytes: 2, isUnchanged: async () => true }
    const store = new MlflowStore({
      store: { stage: async () => ({ ...staged, release: () => void released++ }), progressOf: () => undefined },
      maxThreads: 1,
      onSaid: () => {},
      onEvent: () => {},
    })
    const stage = async (named: string) => {
      await writeFile(join(dir, 'MLmodel'), `flavors:\n  onnx:\n    data: ${named}\n`)
      return (await store.stage(modelVersion('churn'))).modelFile
    }
    assert.equal(await stage('graph.onnx'), 'graph.onnx')
    for (const named of ['../../other/files/model.onnx', 'model.onnx', '/etc/hostname'])
      await assert.rejects(stage(named), { code: 'ARTIFACT_INVALID', message: /it has no '/ })
    assert.equal(released, 3)
  })
})
