import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { GatewayError } from '../../../src/domain/errors.ts'
import type { InferAnswer, InferRequest, ModelState, ModelStatistics } from '../../../src/domain/inference.ts'
import type { ModelRef } from '../../../src/domain/model-ref.ts'
import type { ModelVersion } from '../../../src/domain/model-version.ts'
import type { ReplicaClient, VersionDirectory } from '../../../src/routing/replica-client.ts'
import { Router } from '../../../src/routing/router.ts'
import { modelVersion } from '../../support/model-version.ts'

const never = new AbortController().signal

/** A directory of fixed versions, the last of a name being what the bare name means. */
class Directory implements VersionDirectory {
  readonly #versions: readonly ModelVersion[]

  constructor(...versions: readonly ModelVersion[]) {
    this.#versions = versions
  }

  resolve({ name, version, alias }: ModelRef): ModelVersion {
    const versions = this.versionsOf(name)
    const wanted = alias === undefined ? version : this.aliasesOf(name)[alias]
    const found = wanted === undefined ? versions.at(-1) : versions.find((one) => one.version === wanted)
    if (found !== undefined) return found
    throw new GatewayError(versions.length === 0 ? 'MODEL_NOT_FOUND' : 'VERSION_NOT_FOUND', `no ${name}`)
  }

  versionsOf(name: string): readonly ModelVersion[] {
    return this.#versions.filter((one) => one.name === name)
  }

  aliasesOf(name: string): Readonly<Record<string, string>> {
    return name === 'acme/churn' ? { champion: '1' } : {}
  }

  names(): readonly string[] {
    return [...new Set(this.#versions.map(({ name }) => name))]
  }

  list(): Iterable<ModelVersion> {
    return this.#versions
  }
}

/** A replica that records what it is told to do; its states are set by the test. */
class Replica implements ReplicaClient {
  readonly id = 'replica-1'
  readonly calls: string[] = []
  readonly states = new Map<string, { state: ModelState; reason: string }>()
  readonly statistics = new Map<string, ModelStatistics>()
  notReady: string | undefined

  infer({ key }: ModelVersion, { requestId }: InferRequest): Promise<InferAnswer> {
    this.calls.push(`infer ${key} ${requestId}`)
    const served = { model: '', version: '', replica: this.id, cache: 'hit', timings: {}, batchRows: 1 } as const
    return Promise.resolve({ served, body: Buffer.from(key) })
  }

  load({ key }: ModelVersion): Promise<void> {
    this.calls.push(`load ${key}`)
    return Promise.resolve()
  }

  unload(key: string): Promise<void> {
    this.calls.push(`unload ${key}`)
    return Promise.resolve()
  }

  inspect(): ReturnType<ReplicaClient['inspect']> {
    return Promise.resolve({ signature: { inputs: [], outputs: [] }, artifact: { form: 'mapped' } })
  }

  stateOf(key: string): { state: ModelState; reason: string } {
    return this.states.get(key) ?? { state: 'UNAVAILABLE', reason: '' }
  }

  statisticsOf({ key }: ModelVersion): ModelStatistics | undefined {
    return this.statistics.get(key)
  }

  notReadyReason(): string | undefined {
    return this.notReady
  }
}

const old = modelVersion('acme/churn', '1')
const current = modelVersion('acme/churn', '2')
const other = modelVersion('fraud', '1')

function scene() {
  const replica = new Replica()
  return { replica, router: new Router(new Directory(old, current, other), replica) }
}

function ask(ref: ModelRef): InferRequest {
  return { requestId: 'r1', ref, body: [], bodyBytes: 0, ifAbsent: 'load', signal: never }
}

function statisticsOf({ name, version }: ModelVersion): ModelStatistics {
  const none = { count: 0, ns: 0 }
  return {
    name,
    version,
    lastInferenceMs: 0,
    inferenceCount: 0,
    executionCount: 0,
    success: none,
    fail: none,
    queue: none,
    computeInput: none,
    computeInfer: none,
    computeOutput: none,
    cacheHit: none,
    cacheMiss: none,
    batches: [],
    memory: [],
  }
}

describe('the router', () => {
  it('hands a request to the replica under the version that its ref means', async () => {
    const { replica, router } = scene()
    await router.infer(ask({ name: 'acme/churn' }))
    await router.infer(ask({ name: 'acme/churn', version: '1' }))
    const { body } = await router.infer(ask({ name: 'acme/churn', alias: 'champion' }))
    assert.deepEqual(replica.calls, [`infer ${current.key} r1`, `infer ${old.key} r1`, `infer ${old.key} r1`])
    assert.equal(body.toString(), old.key)
  })

  it('rejects what the registry does not know, and asks no replica', async () => {
    const { replica, router } = scene()
    await assert.rejects(router.infer(ask({ name: 'none' })), { code: 'MODEL_NOT_FOUND' })
    await assert.rejects(router.load({ name: 'acme/churn', version: '9' }, never), { code: 'VERSION_NOT_FOUND' })
    assert.deepEqual(replica.calls, [])
  })

  it('tells what a model is from the registry and what it takes from the replica', async () => {
    const { router } = scene()
    assert.deepEqual(await router.metadata({ name: 'acme/churn', version: '1' }, never), {
      name: 'acme/churn',
      version: '1',
      versions: ['1', '2'],
      aliases: { champion: '1' },
      settings: {
        batching: { mode: 'auto', maxRows: 64, maxDelayMs: 0 },
        intraOpThreads: 1,
        modelFile: 'model.onnx',
      },
      signature: { inputs: [], outputs: [] },
      artifact: { form: 'mapped' },
    })
  })

  it('calls ready what can be served, resident or not, and unready only what failed', async () => {
    const { replica, router } = scene()
    const readiness = async () => {
      const { isReady, reason } = await router.modelReady({ name: 'fraud' })
      return [isReady, reason]
    }
    assert.deepEqual(await readiness(), [true, ''])
    replica.states.set(other.key, { state: 'LOADING', reason: 'paging' })
    assert.deepEqual(await readiness(), [true, 'paging'])
    replica.states.set(other.key, { state: 'UNAVAILABLE', reason: 'ARTIFACT_INVALID: not ONNX' })
    assert.deepEqual(await readiness(), [false, 'ARTIFACT_INVALID: not ONNX'])
  })

  it('lists every version with its state, or only those that are ready', async () => {
    const { replica, router } = scene()
    replica.states.set(current.key, { state: 'READY', reason: '' })
    const all = await router.index({ readyOnly: false })
    assert.deepEqual(
      all.map(({ name, version, state }) => `${name}:${version} ${state}`),
      ['acme/churn:1 UNAVAILABLE', 'acme/churn:2 READY', 'fraud:1 UNAVAILABLE'],
    )
    assert.deepEqual(await router.index({ readyOnly: true }), [
      { name: 'acme/churn', version: '2', state: 'READY', reason: '' },
    ])
    assert.deepEqual(router.modelNames(), ['acme/churn', 'fraud'])
  })

  it('loads the version that a ref means', async () => {
    const { replica, router } = scene()
    assert.deepEqual(await router.load({ name: 'acme/churn' }, never), { name: 'acme/churn', version: '2' })
    assert.deepEqual(replica.calls, [`load ${current.key}`])
  })

  it('unloads one version where one is named, all of them where none is', async () => {
    const { replica, router } = scene()
    await router.unload({ name: 'acme/churn', alias: 'champion' }, never)
    assert.deepEqual(replica.calls.splice(0), [`unload ${old.key}`])
    await router.unload({ name: 'acme/churn' }, never)
    assert.deepEqual(replica.calls, [`unload ${old.key}`, `unload ${current.key}`])
  })

  it('gives the statistics of all that answered, of a model, or of one version', async () => {
    const { replica, router } = scene()
    for (const version of [old, current, other]) replica.statistics.set(version.key, statisticsOf(version))
    const versions = async (ref?: ModelRef) =>
      (await router.statistics(ref)).map(({ name, version }) => `${name}:${version}`)
    assert.deepEqual(await versions(), ['acme/churn:1', 'acme/churn:2', 'fraud:1'])
    assert.deepEqual(await versions({ name: 'acme/churn' }), ['acme/churn:1', 'acme/churn:2'])
    assert.deepEqual(await versions({ name: 'acme/churn', alias: 'champion' }), ['acme/churn:1'])
    replica.statistics.delete(other.key)
    assert.deepEqual(await versions({ name: 'fraud' }), [])
    await assert.rejects(router.statistics({ name: 'none' }), { code: 'MODEL_NOT_FOUND' })
  })

  it('is ready as its replica is', () => {
    const { replica, router } = scene()
    assert.equal(router.notReadyReason(), undefined)
    replica.notReady = 'no worker process is up'
    assert.equal(router.notReadyReason(), 'no worker process is up')
  })
})
