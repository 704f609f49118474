/** Requests in order of arrival: a linked list with an index, so that any one can leave in O(1). */
export interface Link<T> {
  readonly item: T
  before: Link<T> | undefined
  after: Link<T> | undefined
}

export class ItemList<T extends { readonly enqueuedAt: number }> implements Iterable<T> {
  readonly #links: Map<T, Link<T>>
  #first: Link<T> | undefined
  #last: Link<T> | undefined
  #size = 0

  /** `links` is an index that lists may share, as long as no item is put into two: most lists are short, and a map is not cheap to make. */
  constructor(links: Map<T, Link<T>>) {
    this.#links = links
  }

  get size(): number {
    return this.#size
  }

  get first(): T | undefined {
    return this.#first?.item
  }

  /** O(1) for the latest arrival; else as many steps as there are later ones. */
  insert(item: T): void {
    if (this.#links.has(item)) throw new Error('the request waits already')
    let before = this.#last
    while (before !== undefined && before.item.enqueuedAt > item.enqueuedAt) before = before.before
    const after = before === undefined ? this.#first : before.after
    const link: Link<T> = { item, before, after }
    if (before === undefined) this.#first = link
    else before.after = link
    if (after === undefined) this.#last = link
    else after.before = link
    this.#links.set(item, link)
    this.#size++
  }

  remove(item: T): boolean {
    const link = this.#links.get(item)
    if (link === undefined) return false
    const { before, after } = link
    if (before === undefined) this.#first = after
    else before.after = after
    if (after === undefined) this.#last = before
    else after.before = before
    this.#links.delete(item)
    this.#size--
    return true
  }

  *[Symbol.iterator](): Iterator<T> {
    for (let link = this.#first; link !== undefined; link = link.after) yield link.item
  }
}
