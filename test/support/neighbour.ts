/** A good model that is asked all the time while something else goes wrong: every answer must be there, and right. */
import type { NamedTensor } from '../../loadtest/models/index.ts'
import { Rng } from '../../loadtest/models/index.ts'
import type { CheckedModel } from '../../loadtest/models/special/index.ts'
import type { HttpClient } from './http-client.ts'
import { assertOutputs, infer } from './infer-client.ts'

export class Neighbour {
  readonly #client: HttpClient
  readonly #name: string
  readonly #model: CheckedModel
  readonly #rng: Rng
  #asked = 0

  private constructor(client: HttpClient, name: string, model: CheckedModel) {
    this.#client = client
    this.#name = name
    this.#model = model
    this.#rng = new Rng('neighbour', name)
  }

  /** Resolves when it has answered once. */
  static async settle(client: HttpClient, name: string, model: CheckedModel): Promise<Neighbour> {
    const neighbour = new Neighbour(client, name, model)
    await neighbour.ask()
    return neighbour
  }

  /** Times it was asked; all were answered rightly. */
  get asked(): number {
    return this.#asked
  }

  /** One request. @throws AssertionError unless the answer is right */
  async ask(): Promise<void> {
    const inputs: readonly NamedTensor[] = this.#model.inputs(this.#rng, 1 + this.#rng.below(3))
    assertOutputs(await infer(this.#client, this.#name, inputs), this.#model.expected(inputs))
    this.#asked++
  }

  /** Asks one request after the other until `trouble` is over. @throws AssertionError for a wrong or missing answer */
  async during<T>(trouble: () => Promise<T>): Promise<T> {
    const over = new AbortController()
    const [result] = await Promise.all([
      trouble().finally(() => over.abort()),
      // A wrong answer ends the wait for the trouble, and is what is told.
      this.#askUntil(over.signal),
    ])
    return result
  }

  async #askUntil(over: AbortSignal): Promise<void> {
    do await this.ask()
    while (!over.aborted)
  }
}
