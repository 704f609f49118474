/** Binary min-heap whose nodes know their places, so that a rank can change and a node can leave in O(log n). */

/** One membership of `value` in one heap. Equal ranks go in the order in which nodes were made. */
export class HeapNode<T> {
  readonly value: T
  readonly order: number
  rank: number
  /** -1 while in no heap; written by the heap only. */
  place = -1

  constructor(value: T, rank: number, order: number) {
    this.value = value
    this.rank = rank
    this.order = order
  }
}

export class IndexedHeap<T> {
  readonly #nodes: HeapNode<T>[] = []

  get size(): number {
    return this.#nodes.length
  }

  get top(): HeapNode<T> | undefined {
    return this.#nodes[0]
  }

  add(node: HeapNode<T>): void {
    if (node.place !== -1) throw new Error('the node is in a heap already')
    node.place = this.#nodes.length
    this.#nodes.push(node)
    this.#rise(node)
  }

  /** Gives `node`, which is in the heap, another rank. */
  rerank(node: HeapNode<T>, rank: number): void {
    node.rank = rank
    this.#rise(node)
    this.#sink(node)
  }

  remove(node: HeapNode<T>): void {
    if (this.#nodes[node.place] !== node) throw new Error('the node is not in this heap')
    const last = this.#nodes.pop()
    const { place } = node
    node.place = -1
    if (last === undefined || last === node) return
    this.#put(last, place)
    this.#rise(last)
    this.#sink(last)
  }

  /**
   * The first node in order that `accept` takes; looks at `maxLooks` at most. The heap is the same afterwards.
   * O(1) when the first is taken, O(k log n) when it is the k-th.
   */
  find(accept: (value: T) => boolean, maxLooks = Number.POSITIVE_INFINITY): HeapNode<T> | undefined {
    const refused: HeapNode<T>[] = []
    let found: HeapNode<T> | undefined
    for (let top = this.top; top !== undefined && refused.length < maxLooks; top = this.top) {
      if (accept(top.value)) {
        found = top
        break
      }
      this.remove(top)
      refused.push(top)
    }
    for (const node of refused) this.add(node)
    return found
  }

  values(): T[] {
    return this.#nodes.map(({ value }) => value)
  }

  #put(node: HeapNode<T>, place: number): void {
    this.#nodes[place] = node
    node.place = place
  }

  #rise(node: HeapNode<T>): void {
    let place = node.place
    while (place > 0) {
      const above = (place - 1) >> 1
      const parent = this.#nodes[above]
      if (parent === undefined || !isBefore(node, parent)) break
      this.#put(parent, place)
      place = above
    }
    this.#put(node, place)
  }

  #sink(node: HeapNode<T>): void {
    let place = node.place
    for (;;) {
      const left = this.#nodes[2 * place + 1]
      if (left === undefined) break
      const right = this.#nodes[2 * place + 2]
      const child = right !== undefined && isBefore(right, left) ? right : left
      if (!isBefore(child, node)) break
      const below = child.place
      this.#put(child, place)
      place = below
    }
    this.#put(node, place)
  }
}

function isBefore<T>(a: HeapNode<T>, b: HeapNode<T>): boolean {
  return a.rank < b.rank || (a.rank === b.rank && a.order < b.order)
}
