/**
 * Start-time fair queueing of flows: Goyal, Vin, Cheng, "Start-time Fair Queuing", SIGCOMM 1996. Each flow has a start tag, the
 * flow with the least is next, and what its service cost is added to its tag. Virtual time is the least tag among flows that
 * wait; a flow that begins to wait starts there, so that idling earns nothing.
 *
 * Costs are charged when they are known, which may be after the flow was served again or went idle: an idle flow's tag is
 * remembered while it is ahead of virtual time. Once nobody waits, nobody is owed anything and all tags are equal again.
 */
import type { HeapNode as Node } from './indexed-heap.ts'
import { HeapNode, IndexedHeap } from './indexed-heap.ts'

export class FairShare<F> {
  readonly #waiting = new IndexedHeap<F>()
  readonly #ahead = new Map<string, number>()
  #virtualTime = 0
  #highest = 0
  #order = 0

  get size(): number {
    return this.#waiting.size
  }

  /** Flows that wait, in no order. */
  flows(): F[] {
    return this.#waiting.values()
  }

  /** The flow begins to wait. @returns its place, needed to change and end that */
  enter(name: string, flow: F): Node<F> {
    const tag = Math.max(this.#virtualTime, this.#ahead.get(name) ?? 0)
    this.#ahead.delete(name)
    const node = new HeapNode(flow, tag, this.#order++)
    this.#waiting.add(node)
    return node
  }

  /** The flow has nothing waiting any more. */
  leave(name: string, node: Node<F>): void {
    this.#waiting.remove(node)
    if (this.#waiting.size === 0) {
      this.#virtualTime = this.#highest
      this.#ahead.clear()
    } else {
      this.#remember(name, node.rank)
    }
  }

  /** Some flow is served now, whichever: virtual time moves on. */
  serve(): void {
    this.#virtualTime = Math.max(this.#virtualTime, this.#waiting.top?.rank ?? 0)
  }

  /** `cost` in milliseconds over the flow's weight; negative to correct an earlier charge. `node`: its place if it waits. */
  charge(name: string, node: Node<F> | undefined, cost: number): void {
    if (node !== undefined) {
      this.#waiting.rerank(node, node.rank + cost)
      this.#highest = Math.max(this.#highest, node.rank)
    } else if (this.#waiting.size > 0) {
      const tag = Math.max(this.#virtualTime, this.#ahead.get(name) ?? 0) + cost
      this.#highest = Math.max(this.#highest, tag)
      this.#remember(name, tag)
    }
  }

  /** The first flow in order that `accept` takes. */
  find(accept: (flow: F) => boolean): Node<F> | undefined {
    return this.#waiting.find(accept)
  }

  isFirst(node: Node<F>): boolean {
    return this.#waiting.top === node
  }

  #remember(name: string, tag: number): void {
    if (tag <= this.#virtualTime) {
      this.#ahead.delete(name)
      return
    }
    this.#ahead.set(name, tag)
    if (this.#ahead.size <= 64 + 4 * this.#waiting.size) return
    // Amortised: a sweep is paid for by the many entries since the last one; if it frees little, the oldest debts are forgiven.
    for (const [other, otherTag] of this.#ahead) if (otherTag <= this.#virtualTime) this.#ahead.delete(other)
    const keep = 32 + 2 * this.#waiting.size
    for (const other of this.#ahead.keys()) {
      if (this.#ahead.size <= keep) break
      this.#ahead.delete(other)
    }
  }
}
