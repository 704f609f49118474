/**
 * Requests whose worker died under several of them at once: each runs alone, once, in a spare worker that no queue feeds. Owns their
 * leases until they have ended. One at a time, in the order they came; sessions in the spare are charged like any other and closed
 * when the last suspect of their model is through.
 */
import { ChildGoneError } from '../child/calls.ts'
import { GatewayError } from '../domain/errors.ts'
import type { Clock } from '../lib/clock.ts'
import { detach } from '../lib/detach.ts'
import type { HandOverReport } from '../worker/messages.ts'
import { answer } from './answer.ts'
import { WorkerDied } from './death.ts'
import { Lane } from './lane.ts'
import { untried } from './refusals.ts'
import type { ReplicaRequest } from './request.ts'
import type { SessionWorker } from './session-worker.ts'
import type { Sessions } from './sessions.ts'

/** A process of a worker outside the queues. */
export interface SpareProcess {
  readonly worker: SessionWorker
  readonly exited: Promise<unknown>
}

/** Starts the spare when it is wanted and ends it when it has not been for a while. */
export interface Spare {
  /** The process that is up, or a new one. @throws ChildGoneError when none comes up */
  start(): Promise<SpareProcess>
  /** Nothing is to be done for now. */
  rest(): void
}

/** `cleared`: it ran alone and its process lives; `convicted`: its process died; `untried`: it was not run. */
export type Verdict = 'cleared' | 'convicted' | 'untried'

export interface TrialsOptions {
  readonly clock: Clock
  readonly spare: Spare
  readonly sessions: Sessions
  /** The trust domain whose process may run the model; undefined = any. */
  readonly domainOf: (key: string) => string | undefined
  /** Suspects that wait at most. */
  readonly maxWaiting: number
  /** How long a run of one request of this model may take, and an open. */
  readonly limitMs: (key: string, kind: 'open' | 'run') => number
  /** Why the request may not be run after all. */
  readonly refusal: (request: ReplicaRequest) => GatewayError | undefined
  /** The spare died while it was at this request alone, which is the callee's from now on. Trials wait for it. */
  readonly onDied: (request: ReplicaRequest, died: WorkerDied) => Promise<void>
  /** May answers of this model be given out? No when the files behind its sessions turned out to be damaged. */
  readonly isTrusted: (key: string) => boolean
  /** Requests of such a model that are through; they are the callee's. */
  readonly onUntrusted: (requests: readonly ReplicaRequest[]) => void
  readonly onAnswered: (request: ReplicaRequest, report: HandOverReport) => void
  readonly onTried: (verdict: Verdict) => void
  /** The spare's process is gone, and what was open in it. */
  readonly onDown: (workerId: string) => void
  readonly release: (request: ReplicaRequest) => void
}

interface Suspect {
  readonly request: ReplicaRequest
  /** Runs although nobody waits for the answer: who hangs a worker is found out only after the clients have left. */
  readonly mustProve: boolean
}

export class Trials {
  readonly #options: TrialsOptions
  #waiting: Suspect[] = []
  #current: string | undefined
  #lane: Lane | undefined
  #isRunning = false
  #isClosed = false

  constructor(options: TrialsOptions) {
    this.#options = options
  }

  add(requests: readonly ReplicaRequest[], mustProve: boolean): void {
    const { maxWaiting, release } = this.#options
    for (const request of requests) {
      if (this.#isClosed || this.#waiting.length >= maxWaiting) {
        request.fail(untried(`${this.#waiting.length} others wait for that already`))
        release(request)
        continue
      }
      request.waitsFor = 'its turn to run alone, after the worker died under several requests,'
      this.#waiting.push({ request, mustProve })
    }
    if (!this.#isRunning && this.#waiting.length > 0) detach(this.#run())
  }

  /** Takes the suspects of a model back that have not been run; they are the caller's. */
  withdraw(key: string): ReplicaRequest[] {
    const mine = this.#waiting.filter(({ request }) => request.key === key)
    this.#waiting = this.#waiting.filter(({ request }) => request.key !== key)
    return mine.map(({ request }) => request)
  }

  /** Is one of the model's requests being tried, or about to be? */
  isTrying(key: string): boolean {
    // Asked for every model at every look at the queues, and nearly always there is nobody.
    if (!this.#isRunning) return false
    return this.#current === key || this.#waiting.some(({ request }) => request.key === key)
  }

  get waiting(): number {
    return this.#waiting.length
  }

  /** The spare, while it is up. */
  worker(workerId: string): SessionWorker | undefined {
    return this.#lane?.id === workerId ? this.#lane : undefined
  }

  /** Nobody is tried any more. */
  close(): void {
    this.#isClosed = true
    for (const { request } of this.#waiting.splice(0)) {
      request.fail(untried('the server is shutting down'))
      this.#options.release(request)
    }
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      const { key } = next.request
      this.#current = key
      await this.#try(next)
      if (this.#waiting[0]?.request.key !== key) await this.#closeSession(key)
    }
    this.#current = undefined
    this.#isRunning = false
    this.#options.spare.rest()
  }

  async #try({ request, mustProve }: Suspect): Promise<void> {
    const { refusal, isTrusted, onUntrusted, release, onDied, onTried } = this.#options
    const refused = refusal(request)
    if (refused !== undefined) request.fail(refused)
    let verdict: Verdict = 'untried'
    if (refused === undefined && (mustProve || !request.isSettled) && isTrusted(request.key)) {
      try {
        await this.#runAlone(request)
        verdict = 'cleared'
      } catch (error) {
        // What died opening the model, or running it, is judged elsewhere; all else is bad luck of ours.
        if (error instanceof WorkerDied) {
          onTried('convicted')
          return await onDied(request, error)
        }
        if (isTrusted(request.key)) request.fail(untried(reasonOf(error), error))
      }
    }
    onTried(verdict)
    if (isTrusted(request.key)) release(request)
    else onUntrusted([request])
  }

  async #runAlone(request: ReplicaRequest): Promise<void> {
    const { sessions, isTrusted, onAnswered } = this.#options
    const { key } = request
    const lane = await this.#up(key)
    const session = sessions.find(key, lane.id) ?? (await sessions.open(key, lane))
    if (session.opening !== undefined) await this.#within(lane, key, 'open', session.opening)
    const done = sessions.use(session.placement, 1)
    try {
      const report = await this.#within(lane, key, 'run', lane.run(session.placement.id, [request.content]))
      if (!isTrusted(key)) return
      answer([request], report)
      onAnswered(request, report)
    } finally {
      done()
    }
  }

  /** Waits for a command of the spare, which is killed when it takes too long. */
  async #within<T>(lane: Lane, key: string, kind: 'open' | 'run', command: Promise<T>): Promise<T> {
    const timer = this.#options.clock.after(this.#options.limitMs(key, kind), () => lane.kill('hang'))
    try {
      return await command
    } finally {
      timer.cancel()
    }
  }

  async #up(key: string): Promise<Lane> {
    const { spare, clock, domainOf } = this.#options
    let life = await spare.start()
    const { domain } = life.worker
    if (domain !== undefined && domain !== domainOf(key)) life.worker.kill('rebind')
    if (!life.worker.isUp) {
      // It died between two trials, or is another trust domain's; the news of it is on its way.
      await life.exited
      life = await spare.start()
    }
    if (this.#lane?.id === life.worker.id) return this.#lane
    const lane = new Lane(life.worker, clock)
    this.#lane = lane
    detach(this.#watch(lane, life.exited))
    return lane
  }

  async #watch(lane: Lane, exited: Promise<unknown>): Promise<void> {
    await exited
    if (this.#lane === lane) this.#lane = undefined
    this.#options.onDown(lane.id)
    lane.over()
  }

  async #closeSession(key: string): Promise<void> {
    const { sessions } = this.#options
    const lane = this.#lane
    const session = lane === undefined ? undefined : sessions.find(key, lane.id)
    if (session !== undefined) await sessions.close(session.placement, 'tried')
  }
}

/** Why a suspect could not be run, for its caller. */
function reasonOf(error: unknown): string {
  if (error instanceof GatewayError) return `${error.code}, ${error.message}`
  return error instanceof ChildGoneError ? 'the spare worker did not come up' : 'the spare worker could not be used'
}
