/** The first few of a range in some order. */

/** Beyond this share of a range, sorting all of it is the cheaper way. */
const FEW = 1 / 16

export class Best {
  readonly #count: number
  readonly #compare: (a: number, b: number) => number
  /** A heap whose root is the last of those that are in. */
  readonly #heap: Uint32Array

  /** `compare` as `Array.sort` takes it, of two places; never 0 for different ones. */
  constructor(count: number, compare: (a: number, b: number) => number) {
    this.#count = count
    this.#compare = compare
    this.#heap = new Uint32Array(count)
  }

  /** The first `count` places of [start, end), in order; the list is good until the next call. */
  of(start: number, end: number): Uint32Array {
    if (this.#count > 1 + (end - start) * FEW) return this.#bySorting(start, end)
    const heap = this.#heap
    let size = 0
    for (let place = start; place < end; place++) {
      if (size < this.#count) this.#rise(size++, place)
      else if (size > 0 && this.#compare(place, heap[0] ?? 0) < 0) this.#sink(place)
    }
    return heap.length > 1 ? heap.sort(this.#compare) : heap
  }

  #bySorting(start: number, end: number): Uint32Array {
    const places = new Uint32Array(end - start)
    for (let i = 0; i < places.length; i++) places[i] = start + i
    return places.sort(this.#compare).subarray(0, this.#count)
  }

  #rise(from: number, place: number): void {
    const heap = this.#heap
    let at = from
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent] ?? 0
      if (this.#compare(place, above) <= 0) break
      heap[at] = above
      at = parent
    }
    heap[at] = place
  }

  /** In place of the root. */
  #sink(place: number): void {
    const heap = this.#heap
    let at = 0
    for (let child = 1; child < heap.length; child = 2 * at + 1) {
      if (child + 1 < heap.length && this.#compare(heap[child + 1] ?? 0, heap[child] ?? 0) > 0) child++
      const below = heap[child] ?? 0
      if (this.#compare(place, below) >= 0) break
      heap[at] = below
      at = child
    }
    heap[at] = place
  }
}
