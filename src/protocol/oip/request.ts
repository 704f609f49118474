/**
 * Reads inference requests for one model: JSON alone, JSON followed by binary tensors, or the raw bytes of a single tensor.
 * What it returns fits the model's signature; everything else is refused with what came and what is wanted.
 *
 *   body = JSON of `jsonBytes` bytes | binary data of the inputs that announce `binary_data_size`, in the JSON's order
 */
import type { Signature, Tensor, TensorSpec } from '../../domain/tensor-types.ts'
import { DATATYPES, elementCount } from '../../domain/tensor-types.ts'
import { elementsFromJson, flatten, hasInexactInteger } from './json-data.ts'
import { JsonText } from './json-text.ts'
import { elementsFromBytes } from './raw-data.ts'
import { readRawInput } from './raw-request.ts'
import type { RequestedOutput } from './requested-outputs.ts'
import { RequestedOutputs } from './requested-outputs.ts'
import type { Symbols } from './shapes.ts'
import { checkShape, wantedShape } from './shapes.ts'
import { badRequest, describe, listNames, mismatch, unsupported } from './tensor-errors.ts'

export interface InferenceRequest {
  /** The caller's own mark, to be echoed. */
  readonly id?: string
  /** One tensor for each input of the model, in the model's order. */
  readonly inputs: readonly Tensor[]
  /** In the order the answer must have; the same list object for every request that asks for the model's outputs without more. */
  readonly outputs: readonly RequestedOutput[]
}

type JsonObject = Readonly<Record<string, unknown>>

export class RequestReader {
  readonly #inputs: readonly TensorSpec[]
  readonly #places: ReadonlyMap<string, number>
  readonly #outputs: RequestedOutputs

  constructor({ inputs, outputs }: Signature) {
    this.#inputs = inputs
    this.#places = new Map(inputs.map((input, place) => [input.name, place]))
    this.#outputs = new RequestedOutputs(outputs.map((output) => output.name))
  }

  /**
   * `jsonBytes`: length of the JSON part; undefined = the whole body is JSON; 0 = the body is one tensor's bytes and nothing else.
   * Tensors may be views of `body`. @throws GatewayError with a status of 400, or UNSUPPORTED
   */
  read(body: Buffer, jsonBytes?: number): InferenceRequest {
    if (jsonBytes === 0) return { inputs: [readRawInput(this.#inputs, body)], outputs: this.#outputs.allBinary }
    if (jsonBytes !== undefined && jsonBytes > body.length) {
      throw badRequest(`Inference-Header-Content-Length is ${jsonBytes}; the body has ${body.length} bytes only`)
    }
    const json = new JsonText(jsonBytes === undefined ? body : body.subarray(0, jsonBytes))
    const request = asObject(json.value, 'the body')
    const parameters = parametersOf(request, 'the request')
    refuseSequences(parameters)
    const inputs = this.#readInputs(
      request.inputs,
      json,
      jsonBytes === undefined ? undefined : body.subarray(jsonBytes),
    )
    const outputs = this.#outputs.choose(request.outputs, parameters?.binary_data_output)
    const id = request.id
    if (id === undefined) return { inputs, outputs }
    if (typeof id !== 'string') throw badRequest(`id is ${describe(id)}; wanted a string`)
    return { id, inputs, outputs }
  }

  /** `binary`: what follows the JSON; undefined when the caller announced no such part. */
  #readInputs(list: unknown, json: JsonText, binary: Buffer | undefined): readonly Tensor[] {
    if (!Array.isArray(list))
      throw badRequest(
        `inputs is ${describe(list)}; wanted a list of ${listNames(this.#inputs.map((spec) => spec.name))}`,
      )
    const tensors: (Tensor | undefined)[] = this.#inputs.map(() => undefined)
    const symbols: Symbols = new Map()
    let used = 0
    for (let i = 0; i < list.length; i++) {
      const input = asObject((list as readonly unknown[])[i], `inputs[${i}]`)
      const place = this.#placeOf(input.name)
      const spec = this.#inputs[place]
      if (spec === undefined || tensors[place] !== undefined)
        throw badRequest(`input ${describe(input.name)} is given twice`)
      checkDatatype(spec, input.datatype)
      const shape = checkShape(spec, input.shape, symbols)
      const size = parametersOf(input, `input ${describe(spec.name)}`)?.binary_data_size
      if (size === undefined) {
        tensors[place] = {
          name: spec.name,
          datatype: spec.datatype,
          shape,
          data: readJsonData(spec, shape, input.data, json, i),
        }
        continue
      }
      if (input.data !== undefined)
        throw badRequest(`input ${describe(spec.name)} has both data and parameters.binary_data_size`)
      const bytes = takeBytes(spec, size, binary, used)
      used += bytes.length
      tensors[place] = {
        name: spec.name,
        datatype: spec.datatype,
        shape,
        data: elementsFromBytes(spec.name, spec.datatype, elementCount(shape), bytes),
      }
    }
    if (binary !== undefined && used < binary.length) {
      throw badRequest(
        `${binary.length} bytes follow the JSON; the inputs announce ${used} with parameters.binary_data_size`,
      )
    }
    return this.#complete(tensors)
  }

  #placeOf(name: unknown): number {
    const place = typeof name === 'string' ? this.#places.get(name) : undefined
    if (place !== undefined) return place
    const names = listNames(this.#inputs.map((spec) => spec.name))
    if (typeof name !== 'string') throw badRequest(`the name of an input is ${describe(name)}; wanted one of ${names}`)
    throw mismatch(name, 'the model has no such input', names)
  }

  #complete(tensors: readonly (Tensor | undefined)[]): readonly Tensor[] {
    const missing = this.#inputs.find((_, place) => tensors[place] === undefined)
    if (missing !== undefined) {
      throw mismatch(missing.name, 'it is missing', `${missing.datatype} of shape ${wantedShape(missing)}`)
    }
    return tensors as readonly Tensor[]
  }
}

function readJsonData(
  spec: TensorSpec,
  shape: readonly number[],
  data: unknown,
  json: JsonText,
  index: number,
): Tensor['data'] {
  const count = elementCount(shape)
  let values = flatten(spec.name, data, shape, count)
  if ((spec.datatype === 'INT64' || spec.datatype === 'UINT64') && hasInexactInteger(values)) {
    const exact = json.exact() as { inputs: readonly { data: unknown }[] }
    values = flatten(spec.name, exact.inputs[index]?.data, shape, count)
  }
  return elementsFromJson(spec.name, spec.datatype, values)
}

function takeBytes(spec: TensorSpec, size: unknown, binary: Buffer | undefined, used: number): Buffer {
  if (!Number.isSafeInteger(size) || (size as number) < 0) {
    throw mismatch(spec.name, `parameters.binary_data_size is ${describe(size)}`, 'an integer of at least 0')
  }
  if (binary === undefined) {
    throw badRequest(
      `input ${describe(spec.name)} announces binary data; the header Inference-Header-Content-Length is missing`,
    )
  }
  const end = used + (size as number)
  if (end > binary.length) {
    throw mismatch(
      spec.name,
      `its binary data ends after ${binary.length - used} bytes`,
      `${size as number} as parameters.binary_data_size says`,
    )
  }
  return binary.subarray(used, end)
}

function checkDatatype(spec: TensorSpec, datatype: unknown): void {
  if (datatype === spec.datatype) return
  const known = typeof datatype === 'string' && Object.hasOwn(DATATYPES, datatype)
  throw mismatch(
    spec.name,
    `its datatype is ${describe(datatype)}${known ? '' : ', which is not supported'}`,
    spec.datatype,
  )
}

function asObject(value: unknown, what: string): JsonObject {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject
  throw badRequest(`${what} is ${describe(value)}; wanted an object`)
}

/** Sequences keep state between requests, which nothing here does. 0 and '' are how clients say "no sequence". */
function refuseSequences(parameters: JsonObject | undefined): void {
  if (parameters === undefined) return
  const { sequence_id: id, sequence_start: isStart, sequence_end: isEnd } = parameters
  const isNone = id === undefined || id === 0 || id === ''
  if (isNone && isStart !== true && isEnd !== true) return
  throw unsupported('sequences are not supported; models are run without any state between requests')
}

/** Parameters are open to extensions: unknown ones mean nothing here. Those that would change what is read are refused. */
function parametersOf(of: JsonObject, what: string): JsonObject | undefined {
  const parameters = of.parameters
  if (parameters === undefined) return undefined
  const object = asObject(parameters, `parameters of ${what}`)
  if (object.shared_memory_region !== undefined)
    throw unsupported('shared memory regions are not supported; send the data in the body')
  return object
}
