/** Memory mappings per worker: a budget of its own, because the kernel's limit (`vm.max_map_count`) kills the process that meets it. */
export class MappingBudget {
  readonly limit: number
  readonly #used = new Map<string, number>()

  /** `limit`: mappings that placements may take in one worker, safely below the kernel's. */
  constructor(limit: number) {
    if (!(limit >= 1)) throw new RangeError(`a mapping budget needs a limit of at least 1, not ${limit}`)
    this.limit = limit
  }

  usedBy(workerId: string): number {
    return this.#used.get(workerId) ?? 0
  }

  freeOf(workerId: string): number {
    return Math.max(0, this.limit - this.usedBy(workerId))
  }

  /** `change` may be negative; measured counts may exceed the limit, which then shows as no room. */
  add(workerId: string, change: number): void {
    const used = this.usedBy(workerId) + change
    if (used < 0) throw new Error(`mappings of worker ${workerId} would become ${used}`)
    if (used === 0) this.#used.delete(workerId)
    else this.#used.set(workerId, used)
  }
}
