/** Which outputs a request wants, in which order, and how each is to be written. */
import { badRequest, describe, listNames, mismatchedOutput, unsupported } from './tensor-errors.ts'

export interface RequestedOutput {
  readonly name: string
  /** Raw bytes after the JSON rather than a list in it. */
  readonly isBinary: boolean
  /** So many of the best classes are wanted instead of the tensor. */
  readonly classes?: number
}

export class RequestedOutputs {
  /** All of the model's, in its order. */
  readonly allJson: readonly RequestedOutput[]
  readonly allBinary: readonly RequestedOutput[]
  readonly #names: ReadonlySet<string>

  constructor(names: readonly string[]) {
    this.allJson = names.map((name) => ({ name, isBinary: false }))
    this.allBinary = names.map((name) => ({ name, isBinary: true }))
    this.#names = new Set(names)
  }

  /**
   * `outputs`: the request's list, absent or empty for all. `binaryByDefault`: its parameter `binary_data_output`.
   * @throws GatewayError BAD_REQUEST, TENSOR_MISMATCH for an output the model has not, UNSUPPORTED for shared memory
   */
  choose(outputs: unknown, binaryByDefault: unknown): readonly RequestedOutput[] {
    const isBinary = flag(binaryByDefault, 'parameters.binary_data_output') ?? false
    if (outputs === undefined) return isBinary ? this.allBinary : this.allJson
    if (!Array.isArray(outputs)) throw badRequest(`outputs is ${describe(outputs)}; wanted a list`)
    if (outputs.length === 0) return isBinary ? this.allBinary : this.allJson
    const chosen = (outputs as readonly unknown[]).map((output) => this.#read(output, isBinary))
    if (new Set(chosen.map((output) => output.name)).size < chosen.length)
      throw badRequest('an output is asked for twice')
    return chosen
  }

  #read(output: unknown, isBinary: boolean): RequestedOutput {
    const { name, parameters = {} } = fields(output, 'an element of outputs')
    if (typeof name !== 'string') throw badRequest(`the name of an output is ${describe(name)}; wanted a string`)
    if (!this.#names.has(name)) throw mismatchedOutput(name, listNames([...this.#names]))
    const {
      binary_data: binary,
      classification,
      shared_memory_region: region,
    } = fields(parameters, `parameters of output ${describe(name)}`)
    if (region !== undefined) throw unsupported('shared memory regions are not supported; the answer carries the data')
    const classes = countOf(classification, `parameters.classification of output ${describe(name)}`)
    return {
      name,
      isBinary: flag(binary, `parameters.binary_data of output ${describe(name)}`) ?? isBinary,
      ...(classes > 0 && { classes }),
    }
  }
}

function fields(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Readonly<Record<string, unknown>>
  throw badRequest(`${what} is ${describe(value)}; wanted an object`)
}

function flag(value: unknown, what: string): boolean | undefined {
  if (value === undefined || typeof value === 'boolean') return value
  throw badRequest(`${what} is ${describe(value)}; wanted true or false`)
}

/** 0 where nothing is asked for. */
function countOf(value: unknown, what: string): number {
  if (value === undefined) return 0
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number
  throw badRequest(`${what} is ${describe(value)}; wanted a number of classes`)
}
