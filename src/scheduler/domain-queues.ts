/**
 * Queues of workers that serve one trust domain each, a tenant or a model: a queue system of its own for every domain, with the
 * workers that are bound to it. A worker is bound by the first hand-over it is given, for the life of its process.
 * Invariant: between `workerUp` and `workerDown` a worker is given work of one domain only.
 */
import type { DomainTurn } from './domain-turn.ts'
import { domainTurn } from './domain-turn.ts'
import type { QueueItem } from './fair-queue.ts'
import type { HandOver, NextWork, WorkQueues } from './work-queues.ts'
import type { WorkerQueuesOptions } from './worker-queues.ts'
import { WorkerQueues } from './worker-queues.ts'

export interface DomainQueuesOptions extends WorkerQueuesOptions {
  /** The trust domain of a model; must always be the same for a key. */
  readonly domainOf: (key: string) => string
}

interface Domain<T extends QueueItem> {
  readonly name: string
  readonly queues: WorkerQueues<T>
  since: number
  /** Bound to it, or about to be. */
  workers: number
}

interface Slot<T extends QueueItem> {
  readonly id: string
  isUp: boolean
  domain: Domain<T> | undefined
  /** The domain that its next process is for. */
  next: Domain<T> | undefined
  readonly running: Set<HandOver<T>>
}

export class DomainQueues<T extends QueueItem> implements WorkQueues<T> {
  /** A worker that is bound ahead of need is one that others lack. */
  readonly opensAhead = false
  readonly #options: DomainQueuesOptions
  readonly #domains = new Map<string, Domain<T>>()
  /** Those with requests, longest wait first. */
  readonly #waiting = new Map<string, Domain<T>>()
  readonly #slots = new Map<string, Slot<T>>()
  #depth = 0
  #bytes = 0

  constructor(options: DomainQueuesOptions) {
    this.#options = options
  }

  get depth(): number {
    return this.#depth
  }

  get bytes(): number {
    return this.#bytes
  }

  /** The domain that a worker's process serves; undefined while it may be any. */
  domainOf(slot: string): string | undefined {
    return this.#slots.get(slot)?.domain?.name
  }

  depthOf(key: string): number {
    return this.#find(key)?.queues.depthOf(key) ?? 0
  }

  depthAt(slot: string): number {
    return this.#slots.get(slot)?.domain?.queues.depthAt(slot) ?? 0
  }

  itemsOf(key: string): Iterable<T> {
    return this.#find(key)?.queues.itemsOf(key) ?? []
  }

  enqueue(item: T): string | undefined {
    const domain = this.#domain(this.#options.domainOf(item.key))
    if (domain.queues.depth === 0) {
      domain.since = item.enqueuedAt
      this.#waiting.set(domain.name, domain)
    }
    return this.#counted(domain, () => domain.queues.enqueue(item))
  }

  remove(item: T): boolean {
    const domain = this.#find(item.key)
    if (domain === undefined) return false
    const isRemoved = this.#counted(domain, () => domain.queues.remove(item))
    if (isRemoved) this.#waitsNoMore(domain)
    return isRemoved
  }

  homeOf(key: string): string | undefined {
    return this.#find(key)?.queues.homeOf(key)
  }

  nextFor(slotId: string, now: number): NextWork<T> {
    const slot = this.#slots.get(slotId)
    if (slot === undefined) return { expired: [] }
    // What it was to be replaced for may have gone in the meantime.
    if (slot.next !== undefined && slot.next.queues.depth === 0) this.#claim(slot, undefined)
    const turn = slot.next === undefined ? this.#turn(slot, now) : this.#claimedTurn(slot, slot.next)
    if (turn.do === 'nothing') return { expired: [] }
    const domain = this.#domain(turn.domain)
    if (turn.do === 'serve') return this.#serve(slot, domain, now)
    this.#claim(slot, domain)
    return turn.do === 'rebind' ? { expired: [], needsFreshProcess: true } : { expired: [] }
  }

  settle(handOver: HandOver<T>, busyMs: number, now: number): void {
    this.#slots.get(handOver.workerId)?.running.delete(handOver)
    this.#find(handOver.key)?.queues.settle(handOver, busyMs, now)
  }

  workerUp(slotId: string): void {
    const slot = this.#slots.get(slotId)
    if (slot === undefined) {
      this.#slots.set(slotId, { id: slotId, isUp: true, domain: undefined, next: undefined, running: new Set() })
    } else if (!slot.isUp) {
      slot.isUp = true
    } else {
      // A successor that has opened what its predecessor had; what that one was given is its own affair.
      slot.running.clear()
    }
  }

  workerDown(slotId: string): void {
    const slot = this.#slots.get(slotId)
    if (slot === undefined) return
    slot.isUp = false
    // One that died at its work may be down for long: others may be at hand for what it was to serve next.
    if (slot.running.size > 0) this.#claim(slot, undefined)
    slot.running.clear()
    this.#bind(slot, undefined)
  }

  #turn({ domain, running }: Slot<T>, now: number): DomainTurn {
    return domainTurn({
      own: domain?.name,
      hasOwnWork: (domain?.queues.depth ?? 0) > 0,
      isIdle: running.size === 0,
      waiting: this.#waiting.values(),
      now,
      starvationMs: this.#options.starvationMs,
    })
  }

  /** The turn of one that is to serve another domain: that was decided when it was claimed. */
  #claimedTurn({ domain, running }: Slot<T>, { name }: Domain<T>): DomainTurn {
    if (domain === undefined) return { do: 'serve', domain: name }
    return { do: running.size === 0 ? 'rebind' : 'drain', domain: name }
  }

  #serve(slot: Slot<T>, domain: Domain<T>, now: number): NextWork<T> {
    this.#claim(slot, undefined)
    const isNew = slot.domain === undefined
    this.#bind(slot, domain)
    const work = this.#counted(domain, () => domain.queues.nextFor(slot.id, now))
    this.#waitsNoMore(domain)
    if (work.handOver === undefined) {
      // Nothing of it was given: the process is as good as new.
      if (isNew) this.#bind(slot, undefined)
      return work
    }
    slot.running.add(work.handOver)
    if (domain.queues.depth > 0) {
      domain.since = now
      this.#waiting.delete(domain.name)
      this.#waiting.set(domain.name, domain)
    }
    return work
  }

  #bind(slot: Slot<T>, domain: Domain<T> | undefined): void {
    const before = slot.domain
    if (before === domain) return
    slot.domain = domain
    if (before !== undefined) {
      before.workers--
      before.queues.workerDown(slot.id)
      this.#dropIfIdle(before)
    }
    if (domain !== undefined) {
      domain.workers++
      domain.queues.workerUp(slot.id)
    }
  }

  #claim(slot: Slot<T>, domain: Domain<T> | undefined): void {
    const before = slot.next
    if (before === domain) return
    slot.next = domain
    if (domain !== undefined) domain.workers++
    if (before === undefined) return
    before.workers--
    this.#dropIfIdle(before)
  }

  #domain(name: string): Domain<T> {
    let domain = this.#domains.get(name)
    if (domain === undefined) {
      domain = { name, queues: new WorkerQueues<T>(this.#options), since: 0, workers: 0 }
      this.#domains.set(name, domain)
    }
    return domain
  }

  #find(key: string): Domain<T> | undefined {
    return this.#domains.get(this.#options.domainOf(key))
  }

  /** Does something to a domain's queues and keeps the sums. */
  #counted<R>({ queues }: Domain<T>, act: () => R): R {
    const { depth, bytes } = queues
    const result = act()
    this.#depth += queues.depth - depth
    this.#bytes += queues.bytes - bytes
    return result
  }

  /** After requests left. */
  #waitsNoMore(domain: Domain<T>): void {
    if (domain.queues.depth > 0) return
    this.#waiting.delete(domain.name)
    this.#dropIfIdle(domain)
  }

  #dropIfIdle(domain: Domain<T>): void {
    if (domain.queues.depth === 0 && domain.workers === 0) this.#domains.delete(domain.name)
  }
}
