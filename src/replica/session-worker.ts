/** A worker as sessions and hand-overs see it: calls to one process that does them in the order they were sent. */
import type { Batching, HandOverReport, OpenReport, OpenSpec, WorkerRequest } from '../worker/messages.ts'
import type { KillReason } from '../worker/worker-process.ts'

export interface SessionWorker {
  readonly id: string
  /** The place it serves: what hashes and queues know. Another than its id only while one process follows another. */
  readonly slot: string
  /** The trust domain whose models its process opened; undefined while it opened none, or everybody's. */
  readonly domain: string | undefined
  /** Does its process take calls? False as soon as the process is known to be gone; true again for its successor. */
  readonly isUp: boolean
  /** Runs may be sent right behind it; they fail as it does. @throws GatewayError; ChildGoneError */
  open(spec: OpenSpec): Promise<OpenReport>
  /** Resolves when the memory is given back. @throws ChildGoneError */
  close(placementId: number): Promise<void>
  /** @throws GatewayError; ChildGoneError */
  run(placementId: number, requests: readonly WorkerRequest[]): Promise<HandOverReport>
  setBatching(placementId: number, batching: Batching): void
  /** Ends the process at once, whatever it does; calls under way reject with WorkerGoneError, which says why. Nothing happens when there is none. */
  kill(reason: KillReason): void
}
