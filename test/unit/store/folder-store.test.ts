import assert from 'node:assert/strict'
import { link, mkdir, rename, symlink } from 'node:fs/promises'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { type ErrorCode, GatewayError } from '../../../src/domain/errors.ts'
import type { ModelVersion } from '../../../src/domain/model-version.ts'
import { SOURCE_BOUNDS, sourceIdOf } from '../../../src/domain/source-identity.ts'
import { listTree } from '../../../src/lib/file-tree.ts'
import { FolderStore } from '../../../src/store/folder-store.ts'
import { modelVersion } from '../../support/model-version.ts'
import { SourceFolder } from '../../support/source-folder.ts'

let folder: SourceFolder
/** Beside the models folder. */
let outside: SourceFolder
let store: FolderStore

beforeEach(async () => {
  folder = new SourceFolder()
  outside = new SourceFolder()
  await folder.writeVersion('churn')
  store = storeWith({ allowHardLinks: false })
})
afterEach(async () => {
  await folder[Symbol.asyncDispose]()
  await outside[Symbol.asyncDispose]()
})

function storeWith({ allowHardLinks }: { allowHardLinks: boolean }): FolderStore {
  return new FolderStore({ models: folder.path, allowHardLinks, settleMs: 1000 })
}

/** The version as a registry that looks now would know it. */
async function versionNow(name = 'churn'): Promise<ModelVersion> {
  const { files } = await listTree(folder.at(`${name}/1`), SOURCE_BOUNDS)
  return modelVersion(name, '1', sourceIdOf(files))
}

async function refuses(version: ModelVersion, code: ErrorCode, message: RegExp, from = store): Promise<void> {
  await assert.rejects(from.stage(version), (error: unknown) => {
    assert.ok(error instanceof GatewayError, String(error))
    assert.equal(error.code, code)
    assert.match(error.message, message)
    assert.deepEqual([error.facts.model, error.facts.version], [version.name, '1'])
    return true
  })
}

describe('FolderStore', () => {
  it('gives the folder itself, without links, however the models folder is named', async () => {
    const version = await versionNow()
    await symlink(folder.path, outside.at('link'))
    const linked = new FolderStore({ models: outside.at('link'), allowHardLinks: false, settleMs: 1000 })
    assert.equal((await linked.stage(version)).dir, folder.at('churn/1'))
  })

  it('notices afterwards that a file was changed, added or taken away', async () => {
    for (const change of [
      () => folder.write('churn/1/model.onnx', 'x'.repeat(17)),
      () => folder.write('churn/1/more.bin'),
      () => folder.remove('churn/1/more.bin'),
      () => folder.remove('churn'),
    ]) {
      const staged = await store.stage(await versionNow())
      assert.equal(await staged.isUnchanged(), true)
      await change()
      assert.equal(await staged.isUnchanged(), false)
    }
  })

  it('refuses a version whose folder is a link that leads out of the models folder', async () => {
    await rename(folder.at('churn/1'), outside.at('1'))
    await symlink(outside.at('1'), folder.at('churn/1'))
    await refuses(await versionNow(), 'ARTIFACT_INVALID', /its folder is a link that leads out/)
  })

  it('refuses a version with a link to a file outside, and a name that climbs', async () => {
    await symlink('/etc/hostname', folder.at('churn/1/weights.bin'))
    await refuses(await versionNow(), 'ARTIFACT_INVALID', /'weights.bin' leads out/)
    await mkdir(folder.at('models'))
    const inner = new FolderStore({ models: folder.at('models'), allowHardLinks: false, settleMs: 1000 })
    await refuses(modelVersion('../churn'), 'ARTIFACT_INVALID', /leads out of the models folder/, inner)
  })

  it('refuses files with several hard links unless they are allowed', async () => {
    await link(folder.at('churn/1/model.onnx'), folder.at('elsewhere'))
    const version = await versionNow()
    await refuses(version, 'ARTIFACT_INVALID', /'model\.onnx' has 2 hard links; .*store\.allowHardLinks/)
    assert.equal((await storeWith({ allowHardLinks: true }).stage(version)).files.length, 1)
  })

  it('tells a model file that is gone from a folder that is', async () => {
    const version = await versionNow()
    await folder.write('churn/1/other.bin')
    await folder.remove('churn/1/model.onnx')
    await refuses(version, 'ARTIFACT_UNREACHABLE', /'model\.onnx' is gone/)
    await folder.remove('churn')
    await refuses(version, 'ARTIFACT_UNREACHABLE', /its folder is gone/)
  })
})
