/** What every store of model bytes does alike. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { type ErrorCode, GatewayError } from '../../src/domain/errors.ts'
import type { ModelVersion } from '../../src/domain/model-version.ts'
import type { Store } from '../../src/store/store.ts'

/** A store and the hands of those who publish to it. */
export interface StoreStage {
  readonly store: Store
  /** Publishes files by path and gives the version as the registry of this store would. */
  publish(name: string, version: string, files: Readonly<Record<string, string>>): Promise<ModelVersion>
  retract(name: string, version: string): Promise<void>
  dispose(): Promise<void>
}

export function storeContract(label: string, setStage: () => Promise<StoreStage>): void {
  describe(`store contract: ${label}`, () => {
    let stage: StoreStage
    beforeEach(async () => {
      stage = await setStage()
    })
    afterEach(() => stage.dispose())

    it('brings the model file and everything beside it into a folder', async () => {
      const files = { 'model.onnx': 'graph', 'weights.bin': 'w'.repeat(100), 'more/part.bin': 'part' }
      const version = await stage.publish('acme/churn', '7', files)
      const staged = await stage.store.stage(version)
      assert.ok(isAbsolute(staged.dir))
      assert.equal(staged.modelFile, 'model.onnx')
      assert.deepEqual(staged.files, [
        { path: 'model.onnx', bytes: 5 },
        { path: 'more/part.bin', bytes: 4 },
        { path: 'weights.bin', bytes: 100 },
      ])
      assert.equal(staged.bytes, 109)
      for (const [path, content] of Object.entries(files))
        assert.equal(await readFile(join(staged.dir, path), 'utf8'), content)
      assert.equal(await staged.isUnchanged(), true)
    })

    it('serves the same version to several callers at once', async () => {
      const version = await stage.publish('churn', '1', { 'model.onnx': 'graph' })
      const [one, two] = await Promise.all([stage.store.stage(version), stage.store.stage(version)])
      assert.deepEqual(one?.files, two?.files)
    })

    it('says that a version is gone', async () => {
      const version = await stage.publish('churn', '1', { 'model.onnx': 'graph' })
      await stage.retract('churn', '1')
      const error = await refuses(stage.store.stage(version), 'ARTIFACT_UNREACHABLE')
      assert.deepEqual([error.facts.model, error.facts.version], ['churn', '1'])
    })

    it('does not pass off other bytes as the version: they are for the registry to notice', async () => {
      const version = await stage.publish('churn', '1', { 'model.onnx': 'before' })
      await stage.publish('churn', '1', { 'model.onnx': 'afterwards' })
      const error = await refuses(stage.store.stage(version), 'MODEL_LOADING')
      assert.ok((error.facts.retryAfterMs ?? 0) > 0)
    })

    it('rejects with the reason of a signal that aborted', async () => {
      const version = await stage.publish('churn', '1', { 'model.onnx': 'graph' })
      await assert.rejects(stage.store.stage(version, AbortSignal.abort(new Error('nobody waits'))), /nobody waits/)
    })

    async function refuses(staging: Promise<unknown>, code: ErrorCode): Promise<GatewayError> {
      const error: unknown = await staging.then(
        () => assert.fail('it was staged'),
        (reason: unknown) => reason,
      )
      assert.ok(error instanceof GatewayError, String(error))
      assert.equal(error.code, code)
      return error
    }
  })
}
