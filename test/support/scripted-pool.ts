/** A pool of scripted workers whose successors come up when the test lets them. */
import assert from 'node:assert/strict'
import { successorIdOf } from '../../src/domain/worker-slot.ts'
import type { SuccessionPool } from '../../src/replica/recycler.ts'
import { Gate } from './gate.ts'
import type { ReplicaScene } from './replica-scene.ts'
import { ScriptedWorker } from './scripted-worker.ts'

export class ScriptedPool implements SuccessionPool<ScriptedWorker> {
  readonly starts = new Gate()
  /** Every successor there was. */
  readonly successors: ScriptedWorker[] = []
  readonly retired: ScriptedWorker[] = []
  /** Called with each successor when it is up. */
  onSuccessor: (successor: ScriptedWorker) => void = () => {}
  readonly #scene: ReplicaScene
  readonly #bySlot: Map<string, ScriptedWorker>

  constructor(scene: ReplicaScene) {
    this.#scene = scene
    this.#bySlot = new Map(scene.workers.map((worker) => [worker.slot, worker]))
  }

  get workers(): readonly ScriptedWorker[] {
    return [...this.#bySlot.values()]
  }

  worker(slot: string): ScriptedWorker {
    return this.#bySlot.get(slot) ?? assert.fail(`no ${slot}`)
  }

  async succeed(slot: string): Promise<ScriptedWorker> {
    await this.starts.pass(slot)
    const successor = new ScriptedWorker(successorIdOf(this.worker(slot).id))
    this.successors.push(successor)
    this.onSuccessor(successor)
    return successor
  }

  promote(successor: ScriptedWorker): ScriptedWorker {
    const predecessor = this.worker(successor.slot)
    if (!successor.isUp) throw new Error('it died')
    this.#bySlot.set(successor.slot, successor)
    return predecessor
  }

  async retire(worker: ScriptedWorker): Promise<void> {
    this.retired.push(worker)
    worker.die('recycle')
    this.#scene.workerDown(worker.id)
  }
}
