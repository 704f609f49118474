/**
 * A seeded walk over everything that can happen to a replica: requests, clients that leave, deadlines, phases that hang or fail,
 * workers that die with or without notice, evictions, unloads, pins, damaged files, measurements, hot models that are packed.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { GatewayError } from '../../../src/domain/errors.ts'
import type { ModelVersion } from '../../../src/domain/model-version.ts'
import type { Isolation } from '../../../src/domain/trust-domain.ts'
import { assertCacheInvariants } from '../../support/cache-invariants.ts'
import type { Gate } from '../../support/gate.ts'
import { settle } from '../../support/manual-clock.ts'
import type { Asked, ModelOptions, ReplicaScene } from '../../support/replica-scene.ts'
import { MiB, replicaScene } from '../../support/replica-scene.ts'
import type { ScriptedWorker } from '../../support/scripted-worker.ts'
import { seededRandom } from '../../support/seeded-random.ts'

const STEPS = 4000
const MODELS = 24
const MAX_MAPPINGS = 21
const LONGEST_DEADLINE_MS = 2000
const never = new AbortController().signal

class Walk {
  readonly #random: () => number
  readonly #grows: boolean
  readonly scene: ReplicaScene
  readonly models: readonly ModelVersion[]
  readonly trees = new Set<ModelVersion>()
  readonly pending = new Map<Asked, ModelVersion>()
  /** Processes that are gone without the replica having been told. */
  readonly #unnoticed = new Set<ScriptedWorker>()
  readonly met: Record<string, number> = {}
  #orders = 0

  /** `grows`: sessions may turn out to take more than was estimated. Workers fail on a model of a second trust domain by themselves. */
  constructor(seed: number, grows: boolean, isolation: Isolation) {
    this.#random = seededRandom(seed)
    this.#grows = grows
    this.scene = replicaScene({
      workers: 3,
      worker: { isolation },
      memoryBytes: 40 * MiB,
      maxMappings: MAX_MAPPINGS,
      cache: { minResidencyMs: 5, failure: { baseMs: 20, maxMs: 200 } },
      scheduler: { maxQueuedPerModel: 12, maxQueuedRequests: 150, maxLoadWaiters: 40, loads: 3 },
    })
    this.models = Array.from({ length: MODELS }, (_, i) => this.#model(i))
  }

  async step(): Promise<void> {
    const model = this.models[Math.floor(this.#random() ** 2 * MODELS)] ?? assert.fail()
    const worker = this.scene.workers[Math.floor(this.#random() * this.scene.workers.length)] ?? assert.fail()
    const dice = this.#random()
    if (dice < 0.45) this.#ask(model)
    else if (dice < 0.5) this.#leave()
    else if (dice < 0.62) await this.scene.clock.advance(this.#random() * 15)
    else if (dice < 0.74) this.#turn(this.#gateOf(worker))
    else if (dice < 0.82) this.#turn(this.#gateOfLoads())
    else if (dice < 0.845) this.#kill(worker)
    else if (dice < 0.9) this.#revive(worker)
    else if (dice < 0.93) this.#order(model)
    else if (dice < 0.95) this.#spoil(model, worker)
    else if (dice < 0.97) this.#measure(model)
    else await settle()
    await settle()
    this.#check()
  }

  /** Lets everything go its way until nothing is left to do. */
  async end(): Promise<void> {
    const { artifacts, workers, clock } = this.scene
    artifacts.damaged.clear()
    for (const gate of [artifacts.fetches, artifacts.compiles, artifacts.pageIns, artifacts.checks]) gate.open()
    for (const worker of workers) {
      worker.broken.clear()
      for (const gate of [worker.opens, worker.runs, worker.closes]) gate.open()
      if (this.#unnoticed.delete(worker)) this.scene.workerDown(worker.id)
      if (!worker.isUp) this.scene.respawn(worker)
    }
    await this.scene.settle()
    await clock.advance(LONGEST_DEADLINE_MS)
    await this.scene.settle()
    this.#check()
    assert.equal(this.pending.size, 0, 'requests without an outcome')
    assert.equal(this.#orders, 0, 'orders without an end')
    for (const { key } of this.models) this.scene.replica.unpin(key)
    await this.scene.end()
  }

  #model(i: number): ModelVersion {
    const packed = { openMs: 10, runMs: 1, privateBytes: 2 * MiB, paysAfterRuns: 5 + (i % 7) }
    const kinds: ModelOptions[] = [
      {},
      { probe: { packed }, blobs: [{ digest: 'backbone', bytes: 8 * MiB }] },
      { probe: {}, batching: { maxDelayMs: 4, maxRows: 3 } },
      { blobs: [], privateBytes: 5 * MiB },
      { blobs: [{ digest: 'backbone', bytes: 8 * MiB }], privateBytes: 3 * MiB },
    ]
    const model = this.scene.model(`t${i % 5}/m${i}`, { deadlineMs: LONGEST_DEADLINE_MS, ...kinds[i % kinds.length] })
    if (i % kinds.length === 3) this.trees.add(model)
    return model
  }

  #ask(model: ModelVersion): void {
    const isHasty = this.#random() < 0.3
    const one = this.scene.ask(model, {
      ...(isHasty && { timeoutMs: 1 + this.#random() * 100 }),
      ...(this.#random() < 0.05 && { ifAbsent: 'refuse' as const }),
    })
    this.pending.set(one, model)
    if (this.#random() < 0.02) one.leave()
  }

  #leave(): void {
    const all = [...this.pending.keys()]
    all[Math.floor(this.#random() * all.length)]?.leave()
  }

  #gateOf({ opens, runs, closes }: ScriptedWorker): Gate {
    const dice = this.#random()
    return dice < 0.5 ? runs : dice < 0.75 ? opens : closes
  }

  #gateOfLoads(): Gate {
    const { fetches, compiles, pageIns, checks } = this.scene.artifacts
    return [fetches, compiles, pageIns, checks][Math.floor(this.#random() * 4)] ?? checks
  }

  #turn(gate: Gate): void {
    const dice = this.#random()
    if (gate.waiting.length === 0 && dice < 0.35) gate.shut()
    else if (gate.waiting.length > 0 && dice < 0.4) gate.let(Math.floor(this.#random() * gate.waiting.length))
    else if (gate.waiting.length > 0 && dice < 0.5) this.#fail(gate)
    else gate.open()
  }

  #fail(gate: Gate): void {
    // A process that cannot close a session has a fault of its own.
    if (this.scene.workers.some(({ closes }) => closes === gate)) gate.let()
    else gate.fail(new GatewayError('STORE_UNAVAILABLE', 'as the dice fell'))
  }

  #kill(worker: ScriptedWorker): void {
    if (!worker.isUp) return
    this.#note(worker.log.length === 0 ? 'idle death' : 'death')
    if (this.#random() < 0.5) {
      this.scene.kill(worker)
    } else {
      worker.die()
      this.#unnoticed.add(worker)
    }
  }

  #revive(worker: ScriptedWorker): void {
    if (worker.isUp) return
    if (this.#unnoticed.delete(worker)) this.scene.workerDown(worker.id)
    else this.scene.respawn(worker)
  }

  #order(model: ModelVersion): void {
    const { replica } = this.scene
    const dice = this.#random()
    if (dice < 0.4) this.#follow(replica.unload(model.key, never))
    else if (dice < 0.6) this.#follow(replica.load(model, never))
    else if (dice < 0.7) this.#follow(replica.pin(model, never))
    else if (dice < 0.9) replica.unpin(model.key)
    else replica.retire(model.key)
  }

  #follow(order: Promise<void>): void {
    this.#orders++
    const ended = (state: string) => {
      this.#orders--
      this.#note(state)
    }
    order.then(
      () => ended('order done'),
      (error: unknown) => ended(error instanceof GatewayError ? error.code : String(error)),
    )
  }

  #spoil({ name, version }: ModelVersion, worker: ScriptedWorker): void {
    const dice = this.#random()
    if (dice < 0.3) this.scene.artifacts.damaged.add(`${name}-${version}`)
    else if (dice < 0.5) worker.broken.set(name, new GatewayError('INFERENCE_FAILED', 'as the dice fell'))
    else worker.broken.clear()
  }

  #measure(model: ModelVersion): void {
    if (this.#grows) for (const { measured } of this.scene.workers) measured.set(model.name, this.#random() * 6 * MiB)
    const manifest = this.scene.artifacts.recipes.get(model.sourceId)
    if (manifest?.probe !== undefined) this.scene.applyManifest(model, manifest)
  }

  #check(): void {
    const { table, ledger, placements, workers } = this.scene
    assertCacheInvariants(table, ledger, { mayOverrun: this.#grows })
    for (const [one, { name }] of this.pending) {
      assert.ok(one.outcomes <= 1)
      if (one.outcomes === 0) continue
      if (one.ok !== undefined) assert.equal(one.text, `${name}-1.onnx ${one.body}`)
      assert.notEqual(one.state, 'INTERNAL', one.error?.message)
      this.#note(one.state)
      this.pending.delete(one)
    }
    for (const tree of this.trees) assert.ok(this.scene.places(tree).length <= 1, `${tree.name} is held twice`)
    for (const { id } of workers) {
      let mappings = 0
      for (const placement of placements.ofWorker(id)) mappings += placement.mappings
      assert.ok(mappings <= MAX_MAPPINGS, `${id} has ${mappings} mappings`)
    }
  }

  #note(what: string): void {
    this.met[what] = (this.met[what] ?? 0) + 1
  }
}

describe(`a random walk of ${STEPS} steps through a replica`, () => {
  for (const { seed, grows, isolation } of [
    { seed: 1, grows: false, isolation: 'shared' },
    { seed: 2, grows: false, isolation: 'shared' },
    { seed: 3, grows: true, isolation: 'shared' },
    { seed: 4, grows: false, isolation: 'tenant' },
    { seed: 5, grows: true, isolation: 'model' },
  ] as const) {
    it(`gives every request exactly one outcome, its own answer, and leaves nothing behind (seed ${seed}, ${isolation}${grows ? ', growing' : ''})`, async () => {
      const walk = new Walk(seed, grows, isolation)
      for (let i = 0; i < STEPS; i++) await walk.step()
      // A walk that never met a case proves nothing about it.
      const cases = ['hit', 'load', 'compile', 'wait', 'death', 'order done']
      const codes = [
        'DEADLINE_EXCEEDED',
        'CLIENT_GONE',
        'WORKER_CRASHED',
        'MODEL_NOT_HERE',
        'OVERLOADED',
        'STORE_UNAVAILABLE',
      ]
      for (const what of [...cases, ...codes, 'CAPACITY_EXHAUSTED'])
        assert.ok((walk.met[what] ?? 0) > 0, `the walk met no '${what}': ${JSON.stringify(walk.met)}`)
      assert.ok(walk.scene.events.some(({ kind }) => kind === 'evicted'))
      await walk.end()
    })
  }
})
