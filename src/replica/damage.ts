/**
 * Files of artifacts that turned out not to be what was written. A session that mapped them gives answers nobody may see: their models
 * are closed everywhere, and every request for them waits until the artifact has been made again.
 */
import { blobPath } from '../artifact/layout.ts'
import type { EntryTable } from '../cache/entry-table.ts'
import type { Manifest } from '../domain/artifact.ts'
import { GatewayError } from '../domain/errors.ts'
import type { ReplicaRequest } from './request.ts'
import type { Resident } from './residents.ts'

export interface DamageOptions {
  readonly table: EntryTable
  readonly residents: ReadonlyMap<string, Resident>
  /** Takes the requests that wait for a worker out of the queue. */
  readonly withdraw: (key: string) => readonly ReplicaRequest[]
  /** Gives the request's lease back without ending it. */
  readonly takeBack: (request: ReplicaRequest) => void
  readonly release: (request: ReplicaRequest) => void
  /** Sends the request through the load of its model once more. */
  readonly loadAgain: (request: ReplicaRequest) => void
}

/** A request is not sent after a third copy that was damaged too: then it is the disk. */
const MAX_AGAIN = 2

export class Damage {
  readonly #options: DamageOptions

  constructor(options: DamageOptions) {
    this.#options = options
  }

  /** These files, as paths in the cache folder, are not what was written; their artifacts are off the disk. */
  found(paths: readonly string[]): void {
    const corrupt = new Set(paths)
    for (const resident of this.#options.residents.values())
      if (touches(resident.manifest, corrupt)) this.condemn(resident)
  }

  /** The resident's artifact is not what was written, or is gone. */
  condemn(resident: Resident): void {
    if (resident.isDamaged) return
    resident.isDamaged = true
    const { table, withdraw } = this.#options
    const { key } = resident.version
    table.drain(key, 'damaged')
    this.sendBack(withdraw(key))
  }

  /** Requests of a damaged model, taken from the dispatcher: none of them is to blame. */
  sendBack(requests: readonly ReplicaRequest[]): void {
    const { takeBack, release, loadAgain } = this.#options
    for (const request of requests) {
      if (!request.isSettled && ++request.damages > MAX_AGAIN) request.fail(damagedAgain())
      if (request.isSettled) release(request)
      else {
        takeBack(request)
        loadAgain(request)
      }
    }
  }

  /** May answers from open sessions of the key be given out? */
  isTrusted(key: string): boolean {
    return this.#options.residents.get(key)?.isDamaged !== true
  }
}

function touches({ file, files = [], blobs }: Manifest, corrupt: ReadonlySet<string>): boolean {
  return (
    corrupt.has(file) ||
    files.some(({ path }) => corrupt.has(path)) ||
    blobs.some(({ digest }) => corrupt.has(blobPath(digest)))
  )
}

function damagedAgain(): GatewayError {
  return new GatewayError(
    'MODEL_LOADING',
    'the compiled form of the model was damaged on disk again and again while this request waited; look at the disk of the cache folder',
    { retryAfterMs: 1000 },
  )
}
