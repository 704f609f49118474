/** The spare worker without processes: a scripted worker for each life, the next one when it is asked for after a death. */
import type { Spare, SpareProcess } from '../../src/replica/trials.ts'
import { ScriptedWorker } from './scripted-worker.ts'

export class ScriptedSpare implements Spare {
  /** Every process so far, the latest last. */
  readonly lives: ScriptedWorker[] = []
  /** How often it was told that nothing is to be done. */
  rests = 0
  /** New processes hold every run until the test lets it through. */
  holdsRuns = false
  /** As `holdsRuns`, of opens. */
  holdsOpens = false
  /** Why none comes up. */
  broken: Error | undefined
  #current: SpareProcess | undefined

  start(): Promise<SpareProcess> {
    if (this.broken !== undefined) return Promise.reject(this.broken)
    if (this.#current?.worker.isUp === true) return Promise.resolve(this.#current)
    const worker = new ScriptedWorker(`spare-${this.lives.length + 1}`)
    const { promise: exited, resolve } = Promise.withResolvers<void>()
    worker.onDied = () => resolve()
    if (this.holdsRuns) worker.runs.shut()
    if (this.holdsOpens) worker.opens.shut()
    this.lives.push(worker)
    this.#current = { worker, exited }
    return Promise.resolve(this.#current)
  }

  rest(): void {
    this.rests++
  }

  /** Every open and run of all its lives, in order. */
  get log(): string[] {
    return this.lives.flatMap(({ log }) => log)
  }
}
