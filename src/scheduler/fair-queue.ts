/**
 * Requests of one worker: fair between tenants by weight, then between the models of a tenant, first come first served within
 * a model. Fairness is in worker milliseconds, charged as they become known.
 *
 *   tenants by start tag -> models by start tag -> requests by arrival        and beside it: models by how long they wait
 *
 * A model that has waited `starvationMs` since it was last served goes ahead of its turn, at every other turn at most: under
 * overload everything waits long, and arrival order alone would be no fairness at all. All operations are O(log n).
 */
import { FairShare } from './fair-share.ts'
import type { HeapNode as Node } from './indexed-heap.ts'
import { HeapNode, IndexedHeap } from './indexed-heap.ts'
import type { Link } from './item-list.ts'
import { ItemList } from './item-list.ts'

/** A request that waits; its identity is the object. Times are monotonic milliseconds. */
export interface QueueItem {
  readonly key: string
  /** The same for all requests of a key. */
  readonly tenant: string
  readonly bytes: number
  readonly enqueuedAt: number
  /** Infinity = none. */
  readonly deadlineAt: number
  /** What it is expected to cost its worker. */
  readonly expectedMs: number
}

export interface FairQueueOptions {
  readonly starvationMs: number
  /** Positive; 1 is usual. */
  readonly weightOf: (tenant: string) => number
}

export interface Turn {
  readonly tenant: string
  readonly key: string
}

class ModelFlow<T extends QueueItem> {
  readonly key: string
  readonly tenant: TenantFlow<T>
  readonly items: ItemList<T>
  readonly age: Node<ModelFlow<T>>
  place: Node<ModelFlow<T>> | undefined
  servedAt = Number.NEGATIVE_INFINITY

  constructor({ key, enqueuedAt }: QueueItem, tenant: TenantFlow<T>, links: Map<T, Link<T>>, order: number) {
    this.key = key
    this.items = new ItemList(links)
    this.tenant = tenant
    this.age = new HeapNode<ModelFlow<T>>(this, enqueuedAt, order)
  }
}

interface TenantFlow<T extends QueueItem> {
  readonly name: string
  readonly models: FairShare<ModelFlow<T>>
  place: Node<TenantFlow<T>> | undefined
  depth: number
}

/** Starving models that may be refused before the turn goes by fairness. */
const STARVING_LOOKS = 8

export class FairQueue<T extends QueueItem> {
  readonly #options: FairQueueOptions
  readonly #tenants = new FairShare<TenantFlow<T>>()
  readonly #tenantFlows = new Map<string, TenantFlow<T>>()
  readonly #models = new Map<string, ModelFlow<T>>()
  readonly #links = new Map<T, Link<T>>()
  /** By the time since which a model waits to be served. */
  readonly #ages = new IndexedHeap<ModelFlow<T>>()
  #order = 0
  #depth = 0
  #bytes = 0
  #expectedMs = 0
  #wasAheadOfTurn = false

  constructor(options: FairQueueOptions) {
    this.#options = options
  }

  get depth(): number {
    return this.#depth
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Sum over all that wait. */
  get expectedMs(): number {
    return this.#depth === 0 ? 0 : this.#expectedMs
  }

  depthOf(key: string): number {
    return this.#models.get(key)?.items.size ?? 0
  }

  /** Models with requests. */
  keys(): Iterable<string> {
    return this.#models.keys()
  }

  /** Requests of a model, first come first. The queue must not be changed meanwhile. */
  itemsOf(key: string): Iterable<T> {
    return this.#models.get(key)?.items ?? []
  }

  /** Adds a request behind those of its model; one that came earlier (from another queue) is put where it belongs. */
  push(item: T): void {
    let model = this.#models.get(item.key)
    if (model === undefined) {
      model = this.#newModel(item)
      model.items.insert(item)
      this.#ages.add(model.age)
    } else {
      model.items.insert(item)
      this.#reage(model)
    }
    this.#count(model, item, 1)
  }

  /**
   * Whose turn it is among the models that `canRun` takes; changes nothing. `maxLooks` bounds how many models are refused.
   * O(log n), and as much again for each model that is refused.
   */
  next(
    now: number,
    canRun: (key: string) => boolean = () => true,
    maxLooks = Number.POSITIVE_INFINITY,
  ): Turn | undefined {
    const model = (this.#wasAheadOfTurn ? undefined : this.#starving(now, canRun)) ?? this.#fair(canRun, maxLooks)
    return model === undefined ? undefined : { tenant: model.tenant.name, key: model.key }
  }

  /** Takes the first `count` requests of a model: it is served now. */
  take(key: string, count: number, now: number): T[] {
    const model = this.#models.get(key)
    if (model === undefined) return []
    const { tenant } = model
    this.#wasAheadOfTurn = !this.#isFair(model)
    this.#tenants.serve()
    tenant.models.serve()
    model.servedAt = now
    const items: T[] = []
    for (const item of model.items) {
      if (items.length >= count) break
      items.push(item)
    }
    for (const item of items) this.#drop(model, item)
    return items
  }

  /** Takes all requests of a model to another queue; it counts as not served. */
  takeAll(key: string): T[] {
    const model = this.#models.get(key)
    if (model === undefined) return []
    const items = [...model.items]
    for (const item of items) this.#drop(model, item)
    return items
  }

  /** Takes one request out, for instance because its client left. O(log n). @returns false when it is not here */
  remove(item: T): boolean {
    const model = this.#models.get(item.key)
    if (model === undefined || !this.#links.has(item)) return false
    this.#drop(model, item)
    return true
  }

  /** Charges worker milliseconds to a model and its tenant; negative to correct an earlier charge. */
  charge(tenant: string, key: string, ms: number): void {
    const flow = this.#tenantFlows.get(tenant)
    this.#tenants.charge(tenant, flow?.place, ms / this.#options.weightOf(tenant))
    flow?.models.charge(key, this.#models.get(key)?.place, ms)
  }

  #starving(now: number, canRun: (key: string) => boolean): ModelFlow<T> | undefined {
    const since = now - this.#options.starvationMs
    const node = this.#ages.find(({ key, age }) => age.rank > since || canRun(key), STARVING_LOOKS)
    return node !== undefined && node.rank <= since ? node.value : undefined
  }

  #fair(canRun: (key: string) => boolean, maxLooks: number): ModelFlow<T> | undefined {
    let looks = 0
    let found: ModelFlow<T> | undefined
    const accept = ({ key }: ModelFlow<T>) => {
      looks++
      return looks > maxLooks || canRun(key)
    }
    this.#tenants.find(({ models }) => {
      found = models.find(accept)?.value
      return found !== undefined
    })
    return looks > maxLooks ? undefined : found
  }

  #isFair(model: ModelFlow<T>): boolean {
    const { tenant, place } = model
    if (place === undefined || tenant.place === undefined) return false
    return this.#tenants.isFirst(tenant.place) && tenant.models.isFirst(place)
  }

  #newModel(item: T): ModelFlow<T> {
    let tenant = this.#tenantFlows.get(item.tenant)
    if (tenant === undefined) {
      tenant = { name: item.tenant, models: new FairShare(), place: undefined, depth: 0 }
      this.#tenantFlows.set(item.tenant, tenant)
      tenant.place = this.#tenants.enter(item.tenant, tenant)
    }
    const model = new ModelFlow(item, tenant, this.#links, this.#order++)
    model.place = tenant.models.enter(item.key, model)
    this.#models.set(item.key, model)
    return model
  }

  #drop(model: ModelFlow<T>, item: T): void {
    model.items.remove(item)
    this.#count(model, item, -1)
    if (model.items.size > 0) this.#reage(model)
    else this.#endWaiting(model)
  }

  #endWaiting(model: ModelFlow<T>): void {
    const { tenant, key } = model
    this.#models.delete(key)
    this.#ages.remove(model.age)
    if (model.place !== undefined) tenant.models.leave(key, model.place)
    if (tenant.depth > 0) return
    this.#tenantFlows.delete(tenant.name)
    if (tenant.place !== undefined) this.#tenants.leave(tenant.name, tenant.place)
  }

  #count(model: ModelFlow<T>, item: T, sign: 1 | -1): void {
    model.tenant.depth += sign
    this.#depth += sign
    this.#bytes += sign * item.bytes
    this.#expectedMs += sign * item.expectedMs
  }

  #reage(model: ModelFlow<T>): void {
    const since = Math.max(model.items.first?.enqueuedAt ?? 0, model.servedAt)
    if (since !== model.age.rank) this.#ages.rerank(model.age, since)
  }
}
