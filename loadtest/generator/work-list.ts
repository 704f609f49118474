/**
 * The requests of a load, made before it starts: one per model and body. Bodies are shared by all models of a class, heads by all
 * bodies of a model. An answer is computed when it is first needed; a class with trees or attention takes long for one.
 */
import { type ModelClass, modelClass, modelName, type NamedTensor, Rng } from '../models/index.ts'
import { answerProblem, readAnswer } from './infer-answer.ts'
import { type InferBody, inferBody, inferRequest } from './infer-request.ts'
import type { LoadPlan, ModelGroup } from './plan.ts'
import type { HttpResponse } from './response-reader.ts'

interface PreparedInput {
  readonly tensors: readonly NamedTensor[]
  readonly body: InferBody
}

interface PreparedGroup {
  readonly zooClass: ModelClass
  readonly group: ModelGroup
  readonly inputs: readonly PreparedInput[]
}

/** One body for one model. */
export class WorkItem {
  readonly pieces: readonly Buffer[]
  readonly #group: PreparedGroup
  readonly #customer: number
  readonly #input: PreparedInput
  #expected: readonly NamedTensor[] | undefined
  /** The last answer that was right: most answers are equal to it byte for byte, which is quicker to see. */
  #rightBody: Buffer | undefined

  constructor(plan: LoadPlan, group: PreparedGroup, customer: number, input: PreparedInput) {
    this.#group = group
    this.#customer = customer
    this.#input = input
    this.pieces = inferRequest(plan.target, modelName(customer, names(group.group)), input.body, plan)
  }

  get model(): string {
    return modelName(this.#customer, names(this.#group.group))
  }

  /** Computes the answer ahead of the load, where that is cheap enough. */
  prepare(): void {
    this.#expected ??= this.#compute()
  }

  /** What is wrong with a 200 answer, or undefined. */
  problem({ head, body }: Pick<HttpResponse, 'head' | 'body'>): string | undefined {
    if (this.#rightBody?.equals(body) === true) return undefined
    try {
      this.#expected ??= this.#compute()
      const problem = answerProblem(readAnswer(head, body), this.#expected, this.#group.zooClass.tolerance)
      if (problem === undefined) this.#rightBody = Buffer.from(body)
      return problem
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
  }

  #compute(): readonly NamedTensor[] {
    const { family, seed } = this.#group.group
    return this.#group.zooClass.expected({ customer: this.#customer, family, seed }, this.#input.tensors)
  }
}

/** The items of every model, a list each, in the order of the plan's groups. */
export function workList(plan: LoadPlan): readonly (readonly WorkItem[])[] {
  return plan.groups.flatMap((group) => {
    const prepared = prepareGroup(plan, group)
    const first = group.firstCustomer ?? 1
    return Array.from({ length: group.customers }, (_, i) =>
      prepared.inputs.map((input) => new WorkItem(plan, prepared, first + i, input)),
    )
  })
}

function prepareGroup(plan: LoadPlan, group: ModelGroup): PreparedGroup {
  const zooClass = modelClass(group.className)
  const inputs = Array.from({ length: plan.inputsPerModel }, (_, i) => {
    const tensors = zooClass.sampleInputs(new Rng('inputs', group.className, plan.seed, i), plan.rows)
    return { tensors, body: inferBody(tensors, plan.encoding) }
  })
  return { zooClass, group, inputs }
}

function names({ prefix, model }: ModelGroup): { prefix?: string; model?: string } {
  return { ...(prefix === undefined ? {} : { prefix }), ...(model === undefined ? {} : { model }) }
}
