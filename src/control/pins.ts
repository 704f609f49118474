/**
 * Keeps the models that the operator pinned resident. A pin is a ModelRef: when its alias or its latest version moves, the
 * new ModelKey is loaded and pinned first, and only then the old one let go. What cannot be loaded is tried again with
 * back-off for as long as the pin stands; the key pinned before stays meanwhile.
 */
import { asGatewayError } from '../domain/errors.ts'
import { formatModelRef, type ModelRef } from '../domain/model-ref.ts'
import type { ModelVersion } from '../domain/model-version.ts'
import { backoffMs } from '../lib/backoff.ts'
import type { Clock, Timer } from '../lib/clock.ts'
import { detach } from '../lib/detach.ts'

export interface PinOptions {
  readonly refs: readonly ModelRef[]
  readonly resolve: (ref: ModelRef) => ModelVersion
  /** Makes the key resident and keeps it; resolves when it is open. */
  readonly pin: (version: ModelVersion) => Promise<void>
  readonly unpin: (key: string) => void
  readonly retry: { readonly baseMs: number; readonly maxMs: number }
  readonly clock: Clock
  readonly random: () => number
  readonly onEvent: (name: string, fields: Readonly<Record<string, unknown>>) => void
}

interface Pin {
  readonly ref: ModelRef
  key?: string
  failures: number
  isMoving: boolean
  /** It was to be looked at again while it moved. */
  isStale: boolean
  retry?: Timer
}

export class Pins {
  readonly #options: PinOptions
  readonly #pins: readonly Pin[]
  #isClosed = false

  constructor(options: PinOptions) {
    this.#options = options
    this.#pins = options.refs.map((ref) => ({ ref, failures: 0, isMoving: false, isStale: false }))
  }

  /** Looks where each pin points now; call at start and whenever the registry changed. Cheap when nothing moved. */
  refresh(): void {
    for (const pin of this.#pins) if (pin.retry === undefined) detach(this.#move(pin))
  }

  close(): void {
    this.#isClosed = true
    for (const pin of this.#pins) pin.retry?.cancel()
  }

  async #move(pin: Pin): Promise<void> {
    if (this.#isClosed) return
    pin.isStale = pin.isMoving
    if (pin.isMoving) return
    const { clock, onEvent, random, retry } = this.#options
    pin.isMoving = true
    try {
      const version = this.#options.resolve(pin.ref)
      if (version.key !== pin.key) {
        await this.#options.pin(version)
        if (pin.key !== undefined && !this.#isPinnedElsewhere(pin)) this.#options.unpin(pin.key)
        pin.key = version.key
        onEvent('pin.held', { ref: formatModelRef(pin.ref), key: version.key })
      }
      pin.failures = 0
    } catch (thrown) {
      const error = asGatewayError(thrown)
      pin.failures++
      const delayMs = backoffMs(pin.failures, retry, random)
      onEvent('pin.failed', {
        ref: formatModelRef(pin.ref),
        code: error.code,
        message: error.message,
        retryInMs: Math.round(delayMs),
      })
      pin.retry = clock.after(delayMs, () => {
        delete pin.retry
        detach(this.#move(pin))
      })
    } finally {
      pin.isMoving = false
    }
    if (pin.isStale && pin.retry === undefined) await this.#move(pin)
  }

  #isPinnedElsewhere(pin: Pin): boolean {
    return this.#pins.some((other) => other !== pin && other.key === pin.key)
  }
}
