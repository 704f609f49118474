/**
 * What ONNX Runtime itself says to the same file and inputs, for classes whose evaluator in TypeScript takes seconds an answer. Asked
 * while nothing is measured, once per file.
 */
import { join } from 'node:path'
import { type AnswerTensor, answerProblem } from '../generator/infer-answer.ts'
import type { ModelClass, NamedTensor } from '../models/index.ts'
import type { EngineProcess, PlainReport } from './engine-process.ts'

export class EngineAnswers {
  readonly #engine: EngineProcess
  readonly #models: string
  readonly #known = new Map<string, readonly NamedTensor[]>()

  /** `models`: the folder that the server serves. The engine stays its owner's. */
  constructor(engine: EngineProcess, models: string) {
    this.#engine = engine
    this.#models = models
  }

  /** What is wrong with outputs that the server gave for version 1 of `model`, or undefined. Always ask with the same inputs. */
  async problem(
    model: string,
    { tolerance }: Pick<ModelClass, 'tolerance'>,
    inputs: readonly NamedTensor[],
    outputs: readonly AnswerTensor[],
  ): Promise<string | undefined> {
    const expected = this.#known.get(model) ?? expectedOf(await this.#engine.plain(this.#file(model), inputs))
    this.#known.set(model, expected)
    const problem = answerProblem(outputs, expected, tolerance)
    return problem === undefined ? undefined : `${model}: ${problem}`
  }

  #file(model: string): string {
    return join(this.#models, model, '1', 'model.onnx')
  }
}

export function expectedOf({ outputs }: PlainReport): NamedTensor[] {
  return outputs.map(({ name, shape, values }) => ({
    name,
    shape,
    datatype: 'FP32',
    data: Float32Array.from(values),
  }))
}
