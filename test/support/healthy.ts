/** Is a server as it was before? Its answers are right, nothing that somebody left is held, and its memory did not grow beyond bounds. */
import assert from 'node:assert/strict'
import { Rng } from '../../loadtest/models/index.ts'
import type { CheckedModel } from '../../loadtest/models/special/index.ts'
import { eventually } from './eventually.ts'
import { assertOutputs, infer } from './infer-client.ts'
import type { ServerProcess } from './server-process.ts'

/** Each must come back to zero by itself; a leak never does. */
const AT_REST = [
  'modelmux_queue_depth',
  'modelmux_queue_bytes',
  'modelmux_leases',
  'modelmux_ledger_bytes{kind="reserved"}',
  'modelmux_http_held_bytes{kind="received"}',
  'modelmux_http_held_bytes{kind="unread"}',
] as const
/** The request for the metrics itself. */
const OWN_REQUESTS = 1
/** Of the main process, beyond what it had when it was first looked at: heaps that were collected late, and buffers of the allocator. */
const GROWTH_BYTES = 256 * 2 ** 20

export class HealthCheck {
  readonly #server: ServerProcess
  readonly #name: string
  readonly #model: CheckedModel
  readonly #rng = new Rng('health')
  readonly #residentBytes: number

  private constructor(server: ServerProcess, name: string, model: CheckedModel, residentBytes: number) {
    this.#server = server
    this.#name = name
    this.#model = model
    this.#residentBytes = residentBytes
  }

  /** `model`: what the server serves under `name`. Loads it, so that later answers find it resident. */
  static async of(server: ServerProcess, name: string, model: CheckedModel): Promise<HealthCheck> {
    await assertRight(server, name, model, new Rng('health'))
    const metrics = await server.metrics()
    return new HealthCheck(server, name, model, metrics.get('modelmux_process_resident_bytes') ?? 0)
  }

  /** While an attack goes on: answers are right. */
  assertAnswers(): Promise<void> {
    return assertRight(this.#server, this.#name, this.#model, this.#rng)
  }

  /** After an attack. */
  async assertHealthy(growthBytes = GROWTH_BYTES): Promise<void> {
    await this.assertAnswers()
    let held: readonly string[] = []
    await eventually('nothing that somebody left is held', async () => {
      held = heldBy(await this.#server.metrics(), this.#server.client.connections)
      return held.length === 0 ? true : undefined
    }).catch((error: unknown) => assert.fail(`${String(error)}: ${held.join(', ')}`))
    const resident = (await this.#server.metrics()).get('modelmux_process_resident_bytes') ?? 0
    assert.ok(resident < this.#residentBytes + growthBytes, `grew from ${this.#residentBytes} to ${resident} bytes`)
  }
}

async function assertRight(server: ServerProcess, name: string, model: CheckedModel, rng: Rng): Promise<void> {
  const inputs = model.inputs(rng, 2)
  assertOutputs(await infer(server.client, name, inputs), model.expected(inputs))
}

/** `connections`: the asking client's own. */
function heldBy(metrics: ReadonlyMap<string, number>, connections: number): readonly string[] {
  const limits = new Map<string, number>(AT_REST.map((name) => [name, 0]))
  limits.set('modelmux_requests_in_flight', OWN_REQUESTS).set('modelmux_connections_open', connections)
  return [...limits].flatMap(([name, most]) => {
    const value = metrics.get(name)
    return value !== undefined && value <= most ? [] : [`${name} is ${value}`]
  })
}
