/**
 * One open model. Owns the native session and its release; knows nothing of requests, batches or placements.
 * Opening and running block the thread for as long as they take: sessions live in child processes only.
 */
import { GatewayError } from '../domain/errors.ts'
import type { Datatype, Signature, Tensor, TensorData, TensorSpec } from '../domain/tensor-types.ts'
import { DATATYPES } from '../domain/tensor-types.ts'
import { failOnDevice } from './device-failure.ts'
import type { SessionOptions } from './ort.ts'
import { InferenceSession, OrtTensor } from './ort.ts'
import { openError, runError } from './ort-errors.ts'
import { runsOnGpu } from './providers.ts'

const DATATYPE_OF_ORT = new Map<string, Datatype>(
  Object.entries(DATATYPES).map(([name, row]) => [row.ort, name as Datatype]),
)

export class EngineSession {
  /** Inputs in the graph's order without those that have defaults; outputs without those that are no tensors (lists, maps). */
  readonly signature: Signature
  readonly #session: InferenceSession
  readonly #isOnGpu: boolean
  readonly #outputNames: readonly string[]
  readonly #datatypes: ReadonlyMap<string, Datatype>
  #isReleased = false

  private constructor(session: InferenceSession, isOnGpu: boolean) {
    this.#session = session
    this.#isOnGpu = isOnGpu
    this.signature = { inputs: inputSpecs(session.inputMetadata), outputs: outputSpecs(session.outputMetadata) }
    this.#outputNames = this.signature.outputs.map((output) => output.name)
    this.#datatypes = new Map(this.signature.outputs.map((output) => [output.name, output.datatype]))
  }

  /**
   * `file`: absolute path. On a GPU that is lost, or in a state that no call gets it out of, the process ends.
   * @throws GatewayError ARTIFACT_INVALID, or MODEL_LOAD_FAILED when it may pass, or CAPACITY_EXHAUSTED when a GPU is out of memory; the
   * engine's words in `cause`
   */
  static async open(file: string, options: SessionOptions): Promise<EngineSession> {
    const isOnGpu = runsOnGpu(options)
    let session: InferenceSession
    try {
      session = await InferenceSession.create(file, options)
    } catch (error) {
      throw (isOnGpu ? failOnDevice('open', error) : undefined) ?? openError(error)
    }
    try {
      return new EngineSession(session, isOnGpu)
    } catch (error) {
      await session.release()
      throw error
    }
  }

  /**
   * Runs the graph once. `inputs` are read during the run and not kept; the outputs' data is the caller's. Outputs come in the order
   * asked for, or the model's order when `outputs` is absent. One call at a time gains nothing from a second: runs block the thread.
   * @throws GatewayError BAD_INPUT_VALUE when the engine refuses the input, CAPACITY_EXHAUSTED when a GPU is out of memory,
   * INFERENCE_FAILED for everything else
   */
  async run(inputs: readonly Tensor[], outputs: readonly string[] = this.#outputNames): Promise<Tensor[]> {
    if (this.#isReleased) throw new GatewayError('INTERNAL', 'a run on a session that is released already')
    // No prototype: an input may be called `__proto__`.
    const feeds = Object.create(null) as Record<string, OrtTensor>
    let results: Record<string, unknown>
    try {
      for (const input of inputs) feeds[input.name] = toOrt(input)
      results = await this.#session.run(feeds, outputs)
    } catch (error) {
      throw (this.#isOnGpu ? failOnDevice('run', error) : undefined) ?? runError(error)
    }
    return outputs.map((name) => this.#fromOrt(name, results[name]))
  }

  /** Gives the native memory back. Idempotent. */
  async release(): Promise<void> {
    if (this.#isReleased) return
    this.#isReleased = true
    await this.#session.release()
  }

  #fromOrt(name: string, value: unknown): Tensor {
    const datatype = this.#datatypes.get(name)
    if (datatype === undefined || !(value instanceof OrtTensor)) {
      throw new GatewayError('INFERENCE_FAILED', `the engine gave no tensor for output '${name}'`)
    }
    return { name, datatype, shape: value.dims, data: value.data as TensorData }
  }
}

function toOrt({ datatype, shape, data }: Tensor): OrtTensor {
  return new OrtTensor(DATATYPES[datatype].ort, data, shape)
}

function inputSpecs(metadata: readonly InferenceSession.ValueMetadata[]): TensorSpec[] {
  return metadata.map((value) => {
    const spec = specOf(value)
    if (spec === undefined)
      throw new GatewayError(
        'ARTIFACT_INVALID',
        `input '${value.name}' is not a tensor of a type that requests can carry`,
      )
    return spec
  })
}

function outputSpecs(metadata: readonly InferenceSession.ValueMetadata[]): TensorSpec[] {
  const specs = metadata.map(specOf).filter((spec) => spec !== undefined)
  if (specs.length === 0)
    throw new GatewayError('ARTIFACT_INVALID', 'no output of the model is a tensor of a type that answers can carry')
  return specs
}

/** Undefined when the value is no tensor or of an element type without a word in the protocol. An unnamed free dimension is -1. */
function specOf(value: InferenceSession.ValueMetadata): TensorSpec | undefined {
  if (!value.isTensor) return undefined
  const datatype = DATATYPE_OF_ORT.get(value.type)
  if (datatype === undefined) return undefined
  return { name: value.name, datatype, shape: value.shape.map((dim) => (dim === '' ? -1 : dim)) }
}
