/**
 * Writes answers of one model version: JSON, followed by the raw bytes of the outputs that were asked for as binary, in the order
 * asked for. The text that every answer shares is made once.
 */
import type { Tensor, TensorSpec } from '../../domain/tensor-types.ts'
import { AnswerLimit } from './answer-limit.ts'
import { classified } from './classification.ts'
import { stringText } from './number-text.ts'
import { bytesFromElements } from './raw-data.ts'
import type { RequestedOutput } from './requested-outputs.ts'

export interface EncodedResponse {
  readonly json: string
  /** Bytes after the JSON, views of the outputs; empty when everything is in the JSON. */
  readonly binary: readonly Uint8Array[]
}

export class ResponseWriter {
  readonly #head: string
  readonly #outputHeads: ReadonlyMap<string, string>
  readonly #maxBytes: number

  /** `maxBytes`: of one answer. */
  constructor(
    model: string,
    version: string,
    outputs: readonly TensorSpec[],
    maxBytes: number = Number.POSITIVE_INFINITY,
  ) {
    this.#maxBytes = maxBytes
    this.#head = `{"model_name":${stringText(model)},"model_version":${stringText(version)},`
    this.#outputHeads = new Map(outputs.map((output) => [output.name, headOf(output)]))
  }

  /** `tensors[i]` answers `outputs[i]`. @throws GatewayError BAD_REQUEST for classes of what cannot be ranked, BAD_INPUT_VALUE for too much */
  write(id: string | undefined, outputs: readonly RequestedOutput[], tensors: readonly Tensor[]): EncodedResponse {
    const limit = new AnswerLimit(this.#maxBytes)
    let json = this.#head
    if (id !== undefined) json += `"id":${stringText(id)},`
    json += '"outputs":['
    const binary: Uint8Array[] = []
    for (let i = 0; i < tensors.length; i++) {
      const given = tensors[i]
      if (given === undefined) continue
      const wanted = outputs[i]
      const classes = wanted?.classes
      const tensor = classes === undefined ? given : classified(given, classes, limit)
      const head = classes === undefined ? this.#outputHeads.get(tensor.name) : headOf(tensor)
      if (i > 0) json += ','
      json += `${head ?? ''}${tensor.shape.join(',')}]`
      if (wanted?.isBinary === true) {
        const bytes = bytesFromElements(tensor.data)
        limit.count(bytes.length)
        binary.push(bytes)
        json += `,"parameters":{"binary_data_size":${bytes.length}}}`
      } else {
        json += `,"data":[${limit.elements(tensor.datatype, tensor.data)}]}`
      }
    }
    return { json: `${json}]}`, binary }
  }
}

function headOf({ name, datatype }: Pick<Tensor, 'name' | 'datatype'>): string {
  return `{"name":${stringText(name)},"datatype":"${datatype}","shape":[`
}
