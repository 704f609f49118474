/**
 * A Gateway whose answers are scripted: for tests of the HTTP layer, where models, workers and files would only be in the way.
 * It records what it was asked, and can hold an inference back until the test lets it go.
 */
import { setImmediate } from 'node:timers'
import type { ModelRef } from '../../src/domain/model-ref.ts'
import { formatModelRef } from '../../src/domain/model-ref.ts'
import type {
  Gateway,
  IndexRow,
  InferAnswer,
  InferRequest,
  ModelMetadata,
  ModelStatistics,
} from '../../src/routing/gateway.ts'

const NOTHING = { count: 0, ns: 0 }

/** An inference that waits for the test. */
export interface HeldInference {
  readonly request: InferRequest
  answer(answer?: Partial<InferAnswer>): void
  fail(error: Error): void
}

export class FakeGateway implements Gateway {
  readonly inferences: InferRequest[] = []
  readonly calls: string[] = []
  readonly held: HeldInference[] = []
  /** Hold inferences until the test answers them. */
  holds = false
  notReady: string | undefined
  ready = { isReady: true, reason: '' }
  /** Thrown by every method while set. */
  error: Error | undefined
  meta: Partial<ModelMetadata> = {}
  /** Does metadata take a walk through a model file? */
  isWalked = true
  rows: IndexRow[] = [{ name: 'acme/churn', version: '7', state: 'READY', reason: '' }]
  stats: ModelStatistics[] = []
  /** What an inference answers beside the defaults. */
  reply: Partial<InferAnswer> = {}

  infer(request: InferRequest): Promise<InferAnswer> {
    this.inferences.push(request)
    if (this.error !== undefined) return Promise.reject(this.error)
    if (!this.holds) return Promise.resolve(this.#answerTo(request, {}))
    return new Promise((resolve, reject) => {
      this.held.push({
        request,
        answer: (answer = {}) => resolve(this.#answerTo(request, answer)),
        fail: reject,
      })
    })
  }

  async metadata(ref: ModelRef, _signal: AbortSignal, onWalk?: () => void): Promise<ModelMetadata> {
    if (this.isWalked) onWalk?.()
    return this.#told('metadata', ref, () => ({
      name: ref.name,
      version: ref.version ?? '7',
      versions: ['6', '7'],
      aliases: { champion: '7' },
      settings: {
        batching: { mode: 'auto', maxRows: 64, maxDelayMs: 2 },
        intraOpThreads: 1,
        modelFile: 'model.onnx',
      },
      signature: {
        inputs: [{ name: 'x', datatype: 'FP32', shape: ['batch', 4, -1] }],
        outputs: [{ name: 'y', datatype: 'FP32', shape: ['batch', 1] }],
      },
      ...this.meta,
    }))
  }

  modelReady(ref: ModelRef): Promise<{ isReady: boolean; name: string; version: string; reason: string }> {
    return this.#told('ready', ref, () => ({ ...this.ready, name: ref.name, version: ref.version ?? '7' }))
  }

  index({ readyOnly }: { readonly readyOnly: boolean }): Promise<readonly IndexRow[]> {
    this.calls.push(`index ${readyOnly ? 'ready' : 'all'}`)
    return this.#orError(() => this.rows)
  }

  modelNames(): readonly string[] {
    return this.rows.map(({ name }) => name)
  }

  load(ref: ModelRef): Promise<{ name: string; version: string }> {
    return this.#told('load', ref, () => ({ name: ref.name, version: ref.version ?? '7' }))
  }

  unload(ref: ModelRef): Promise<{ name: string; version: string }> {
    return this.#told('unload', ref, () => ({ name: ref.name, version: ref.version ?? '7' }))
  }

  statistics(ref?: ModelRef): Promise<readonly ModelStatistics[]> {
    this.calls.push(ref === undefined ? 'stats' : `stats ${formatModelRef(ref)}`)
    return this.#orError(() => this.stats)
  }

  notReadyReason(): string | undefined {
    return this.notReady
  }

  /** Resolves once this many inferences have arrived. */
  async arrived(count: number): Promise<void> {
    while (this.inferences.length < count) await new Promise<void>((resolve) => setImmediate(resolve))
  }

  #told<T>(what: string, ref: ModelRef, answer: () => T): Promise<T> {
    this.calls.push(`${what} ${formatModelRef(ref)}`)
    return this.#orError(answer)
  }

  #orError<T>(answer: () => T): Promise<T> {
    return this.error === undefined ? Promise.resolve(answer()) : Promise.reject(this.error)
  }

  #answerTo(request: InferRequest, answer: Partial<InferAnswer>): InferAnswer {
    const { name, version = '7' } = request.ref
    return {
      served: {
        model: name,
        version,
        replica: 'replica-0',
        cache: 'hit',
        timings: { queue: 0.5, run: 1.2345 },
        batchRows: 1,
      },
      body: Buffer.from(JSON.stringify({ model_name: name, model_version: version, outputs: [] })),
      ...this.reply,
      ...answer,
    }
  }
}

export const NO_STATISTICS: Omit<ModelStatistics, 'name' | 'version'> = {
  lastInferenceMs: 0,
  inferenceCount: 0,
  executionCount: 0,
  success: NOTHING,
  fail: NOTHING,
  queue: NOTHING,
  computeInput: NOTHING,
  computeInfer: NOTHING,
  computeOutput: NOTHING,
  cacheHit: NOTHING,
  cacheMiss: NOTHING,
  batches: [],
  memory: [],
}
