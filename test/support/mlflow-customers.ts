/** Models of customers in a real MLflow registry, logged by MLflow itself, and questions that only a customer's own weights answer right. */
import { modelClass, Rng } from '../../loadtest/models/index.ts'
import type { Answer } from './http-client.ts'
import { assertOutputs, infer } from './infer-client.ts'
import type { LogOrder, MlflowServer } from './mlflow-server.ts'
import { ModelsFolder } from './models-folder.ts'
import type { ServerProcess } from './server-process.ts'

const XS = modelClass('XS')

export class MlflowCustomers {
  readonly #server: MlflowServer
  readonly #folder: ModelsFolder
  readonly #rng = new Rng('mlflow customers')

  private constructor(server: MlflowServer, folder: ModelsFolder) {
    this.#server = server
    this.#folder = folder
  }

  static async at(server: MlflowServer): Promise<MlflowCustomers> {
    return new MlflowCustomers(server, await ModelsFolder.make())
  }

  /** Logs one version of each order; `customer` has the weights that answer. */
  async log(orders: readonly (Omit<LogOrder, 'file'> & { readonly customer: number })[]): Promise<void> {
    const files = await Promise.all(
      orders.map(async ({ customer, ...order }) => {
        const name = `customer-${customer}`
        await this.#folder.write(name, '1', XS.build(recipe(customer)))
        return { ...order, file: `${this.#folder.path(name, '1')}/model.onnx` }
      }),
    )
    await this.#server.log(files)
  }

  /** A row of inputs as MLflow takes it for an example. */
  example(): readonly (readonly number[])[] {
    return this.#inputs().map(({ data }) => [...(data as Iterable<number>)])
  }

  /** Any answer, right or refused. */
  ask(server: ServerProcess, ref: string, headers: readonly string[] = []): Promise<Answer> {
    return infer(server.client, ref, this.#inputs(), { headers })
  }

  /** Whether it answers at all, and then by the weights of this customer. */
  async isAnsweredBy(server: ServerProcess, ref: string, customer: number): Promise<boolean> {
    const inputs = this.#inputs()
    const answer = await infer(server.client, ref, inputs)
    if (answer.status !== 200) return false
    try {
      assertOutputs(answer, XS.expected(recipe(customer), inputs), XS.tolerance)
      return true
    } catch {
      return false
    }
  }

  /** Asserts that the weights of this customer answered, and gives the answer. */
  async askRight(server: ServerProcess, ref: string, customer: number): Promise<Answer> {
    const inputs = this.#inputs()
    const answer = await infer(server.client, ref, inputs)
    assertOutputs(answer, XS.expected(recipe(customer), inputs), XS.tolerance)
    return answer
  }

  remove(): Promise<void> {
    return this.#folder.removeAll()
  }

  #inputs() {
    return XS.sampleInputs(this.#rng, 1)
  }
}

function recipe(customer: number) {
  return { customer, family: 'full', seed: 1 } as const
}
