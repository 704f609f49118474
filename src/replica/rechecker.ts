/**
 * Holds artifacts that could not be checked on made-up inputs against their originals on the first request they answered, in
 * the background and once. What differs is served plain from then on.
 */
import { LRUCache } from 'lru-cache'
import type { Manifest } from '../domain/artifact.ts'
import type { ModelVersion } from '../domain/model-version.ts'
import { detach } from '../lib/detach.ts'
import type { RequestBody } from './request.ts'

/** `jsonBytes`: length of the JSON part where tensors follow in binary. */
export interface WholeRequest {
  readonly body: Buffer
  readonly jsonBytes?: number
}

export interface RecheckerOptions {
  /** @returns the manifest from now on; its form is `plain` where the answers differed */
  readonly recheck: (version: ModelVersion, request: WholeRequest) => Promise<Manifest>
  readonly onChecked: (version: ModelVersion, manifest: Manifest) => void
  readonly onFailed: (version: ModelVersion, error: unknown) => void
}

/** Larger requests are not kept for this: the next one may be smaller. */
const MAX_BODY_BYTES = 1_000_000
/** Artifacts whose tries are remembered. */
const MAX_TRIED = 10_000

export class Rechecker {
  readonly #options: RecheckerOptions
  readonly #tried = new LRUCache<string, true>({ max: MAX_TRIED })
  #isBusy = false

  constructor(options: RecheckerOptions) {
    this.#options = options
  }

  /** The model answered this request. Cheap when there is nothing to do, as nearly always. */
  note(version: ModelVersion, manifest: Manifest, request: RequestBody | undefined): void {
    if (manifest.check !== 'first-request' || this.#isBusy || request === undefined) return
    if (request.bodyBytes > MAX_BODY_BYTES || this.#tried.has(manifest.artifact)) return
    this.#tried.set(manifest.artifact, true)
    const { body, jsonBytes } = request
    const whole = { body: Buffer.concat(body), ...(jsonBytes === undefined ? {} : { jsonBytes }) }
    detach(this.#run(version, whole))
  }

  async #run(version: ModelVersion, request: WholeRequest): Promise<void> {
    const { recheck, onChecked, onFailed } = this.#options
    this.#isBusy = true
    try {
      onChecked(version, await recheck(version, request))
    } catch (error) {
      onFailed(version, error)
    } finally {
      this.#isBusy = false
    }
  }
}
