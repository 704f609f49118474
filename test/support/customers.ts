/** A folder of small models, one per customer, and questions with the answers that each customer's own weights give. */
import { modelClass, Rng } from '../../loadtest/models/index.ts'
import type { Answer } from './http-client.ts'
import { assertOutputs, infer } from './infer-client.ts'
import { ModelsFolder } from './models-folder.ts'
import type { ServerProcess } from './server-process.ts'

const XS = modelClass('XS')

export class Customers {
  readonly folder: ModelsFolder
  readonly #rng: Rng
  readonly #family: 'head' | 'full'

  private constructor(folder: ModelsFolder, family: 'head' | 'full') {
    this.folder = folder
    this.#family = family
    this.#rng = new Rng('customers')
  }

  /** `family`: with `head`, all customers share their backbone's tensors; with `full`, none does. */
  static async make(count: number, family: 'head' | 'full' = 'head'): Promise<Customers> {
    const customers = new Customers(await ModelsFolder.make(), family)
    for (let one = 1; one <= count; one++) await customers.add(one)
    return customers
  }

  nameOf(one: number): string {
    return `customer-${one}/model`
  }

  async add(one: number): Promise<void> {
    await this.folder.write(this.nameOf(one), '1', XS.build(this.#recipe(one)))
  }

  /** Any answer, right or refused. */
  ask(server: ServerProcess, one: number, headers: readonly string[] = []): Promise<Answer> {
    return infer(server.client, this.nameOf(one), this.#inputs(), { headers })
  }

  /** Asserts that the customer's own model answered, or that of another who is there by now, and gives what the cache did for it. */
  async askRight(server: ServerProcess, one: number, by = one): Promise<unknown> {
    const inputs = this.#inputs()
    const answer = await infer(server.client, this.nameOf(one), inputs)
    assertOutputs(answer, XS.expected(this.#recipe(by), inputs), XS.tolerance)
    return answer.headers['x-modelmux-cache']
  }

  remove(): Promise<void> {
    return this.folder.removeAll()
  }

  #inputs() {
    return XS.sampleInputs(this.#rng, 1)
  }

  #recipe(one: number) {
    return { customer: one, family: this.#family, seed: 1 } as const
  }
}
