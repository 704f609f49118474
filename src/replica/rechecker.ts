/**
 * Holds artifacts that could not be checked on made-up inputs against their originals on the first request they answered, in
 * the background and once. What differs is served plain from then on.
 */
import { LRUCache } from 'lru-cache'
import type { Manifest } from '../domain/artifact.ts'
import type { ModelVersion } from '../domain/model-version.ts'
import { detach } from '../lib/detach.ts'
import type { RequestBody } from './request.ts'

export interface RecheckerOptions {
  /** @returns the manifest from now on; its form is `plain` where the answers differed */
  readonly recheck: (version: ModelVersion, request: unknown) => Promise<Manifest>
  readonly onChecked: (version: ModelVersion, manifest: Manifest) => void
  readonly onFailed: (version: ModelVersion, error: unknown) => void
}

/** Larger requests are not kept for this: the next one may be smaller. */
const MAX_BODY_BYTES = 1_000_000
/** Artifacts whose tries are remembered. */
const MAX_TRIED = 10_000
/** Requests in vain before an artifact is left alone: parsing each of a client's that always sends NaN would cost more than it finds. */
const MAX_TRIES = 10

export class Rechecker {
  readonly #options: RecheckerOptions
  readonly #tried = new LRUCache<string, number>({ max: MAX_TRIED })
  #isBusy = false

  constructor(options: RecheckerOptions) {
    this.#options = options
  }

  /** The model answered this request. Cheap when there is nothing to do, as nearly always. */
  note(version: ModelVersion, manifest: Manifest, request: RequestBody | undefined): void {
    if (manifest.check !== 'first-request' || this.#isBusy || request === undefined) return
    // Binary tensors do not survive as JSON; a client that only ever sends those is trusted with the unchecked form.
    if (request.jsonBytes !== undefined || request.bodyBytes > MAX_BODY_BYTES) return
    const tries = this.#tried.get(manifest.artifact) ?? 0
    if (tries >= MAX_TRIES) return
    const content = parsed(Buffer.concat(request.body))
    this.#tried.set(manifest.artifact, content === undefined ? tries + 1 : MAX_TRIES)
    if (content !== undefined) detach(this.#run(version, content))
  }

  async #run(version: ModelVersion, request: unknown): Promise<void> {
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

/** undefined for what requests may hold and JSON may not, such as a bare NaN: the next one may be plain. */
function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString())
  } catch {
    return undefined
  }
}
