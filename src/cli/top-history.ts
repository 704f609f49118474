/** The latest rates of the server and of each model on the screen, for their little lines of history. */
import type { ModelOverview, Overview } from '../telemetry/overview.ts'

const TOTAL_POINTS = 24
const MODEL_POINTS = 8

export class History {
  #total: number[] = []
  #models = new Map<string, number[]>()
  #uptime = 0

  /** Models that are not in this overview are forgotten. */
  add({ server, traffic, models }: Overview): void {
    // A server that was started again has a history of its own.
    if (server.uptimeSeconds < this.#uptime) {
      this.#total = []
      this.#models.clear()
    }
    this.#uptime = server.uptimeSeconds
    this.#total = [...this.#total, traffic.requestsPerSecond].slice(-TOTAL_POINTS)
    this.#models = new Map(
      models.hottest.map((model) => {
        const points = [...this.ofModel(model), model.requestsPerSecond]
        return [nameOf(model), points.slice(-MODEL_POINTS)]
      }),
    )
  }

  get total(): readonly number[] {
    return this.#total
  }

  ofModel(model: ModelOverview): readonly number[] {
    return this.#models.get(nameOf(model)) ?? []
  }
}

function nameOf({ name, version }: ModelOverview): string {
  return `${name}:${version}`
}
