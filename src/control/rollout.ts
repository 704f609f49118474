/**
 * Make before break: while a new version of a resident model is fetched, compiled and opened, requests keep going to the old
 * one; they switch together when the new one is ready, and the old one drains. A new version that cannot be loaded leaves the
 * old one serving, and says so; where the reason may pass, it is tried again with back-off. A cold model has nobody to keep
 * waiting: its next request simply meets the new version.
 *
 * The registry stays the truth about names; this only delays what it says for models that are in memory.
 */
import { asGatewayError, type ErrorCode } from '../domain/errors.ts'
import { formatModelRef, type ModelRef } from '../domain/model-ref.ts'
import type { ModelVersion } from '../domain/model-version.ts'
import { type BackoffOptions, backoffMs } from '../lib/backoff.ts'
import type { Clock, Timer } from '../lib/clock.ts'
import { detach } from '../lib/detach.ts'

export interface RolloutOptions {
  /** What the registry says now. @throws GatewayError as the registry does */
  readonly resolve: (ref: ModelRef) => ModelVersion
  /** Aliases of a model, so that every name it can be called by is looked at. */
  readonly aliasesOf: (name: string) => readonly string[]
  readonly isResident: (key: string) => boolean
  /** Makes the key resident and open. */
  readonly load: (version: ModelVersion) => Promise<void>
  /** Lets a key go once nobody uses it. */
  readonly retire: (key: string) => void
  /** A name has begun to mean another version. */
  readonly onMoved: () => void
  readonly retry: BackoffOptions
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
  readonly onEvent: (name: string, fields: Readonly<Record<string, unknown>>) => void
}

/** A name that still answers from `from` while `to` is made ready, or after `to` failed. */
interface Rollout {
  readonly ref: ModelRef
  readonly from: ModelVersion
  readonly to: ModelVersion
  failures: number
  retry?: Timer
  /** It failed for a reason that lasts. */
  isGivenUp: boolean
}

/** What these say of a version's bytes holds until there are others. */
const LASTING: ReadonlySet<ErrorCode> = new Set([
  'ARTIFACT_INVALID',
  'MODEL_TOO_LARGE',
  'UNSUPPORTED',
  'MODEL_QUARANTINED',
])

interface Meaning {
  readonly ref: ModelRef
  readonly version: ModelVersion
}

export class Rollouts {
  readonly #options: RolloutOptions
  readonly #underWay = new Map<string, Rollout>()
  /** By model: what each of its names meant when a version became resident. Bounded by what is resident. */
  readonly #meant = new Map<string, Map<string, Meaning>>()
  #isClosed = false

  constructor(options: RolloutOptions) {
    this.#options = options
  }

  /** Which version serves `ref` now. @throws GatewayError as the registry does */
  resolve(ref: ModelRef): ModelVersion {
    if (this.#underWay.size > 0) {
      const rollout = this.#underWay.get(formatModelRef(ref))
      if (rollout !== undefined) return rollout.from
    }
    return this.#options.resolve(ref)
  }

  /** A version became resident: its names are watched from now on. */
  watch(version: ModelVersion): void {
    const meant = this.#meant.get(version.name) ?? new Map<string, Meaning>()
    for (const ref of this.#refsOf(version)) {
      const text = formatModelRef(ref)
      // A name that is being rolled over means the old version until its rollout says otherwise.
      if (!this.#underWay.has(text) && this.#wanted(ref)?.key === version.key) meant.set(text, { ref, version })
    }
    if (meant.size > 0) this.#meant.set(version.name, meant)
  }

  /** A version is no longer resident. */
  forget({ name, key }: ModelVersion): void {
    const meant = this.#meant.get(name)
    if (meant === undefined) return
    for (const [text, { version }] of meant) if (version.key === key) this.#drop(text, name)
  }

  /** The registry changed something about this model: names that moved away from a resident version are rolled over. */
  refresh(name: string): void {
    const meant = this.#meant.get(name)
    if (meant === undefined) return
    for (const [text, { ref, version: from }] of meant) {
      const to = this.#wanted(ref)
      if (to === undefined) this.#end(text, from)
      else if (to.key !== from.key) this.#begin(text, ref, from, to)
      else this.#cancel(text)
    }
  }

  /** What stood in a version's way is gone: a rollout to it that had been given up is tried again. */
  again(key: string): void {
    for (const [text, rollout] of this.#underWay) {
      // One that waits for its next try, or is at it, needs no word.
      if (rollout.to.key !== key || !rollout.isGivenUp || this.#isClosed) continue
      rollout.isGivenUp = false
      detach(this.#roll(text, rollout))
    }
  }

  get underWay(): number {
    return this.#underWay.size
  }

  /** Nothing is tried again; names go on answering as they do. Idempotent. */
  close(): void {
    this.#isClosed = true
    for (const { retry } of this.#underWay.values()) retry?.cancel()
  }

  #begin(text: string, ref: ModelRef, from: ModelVersion, to: ModelVersion): void {
    if (this.#underWay.get(text)?.to.key === to.key) return
    if (!this.#options.isResident(from.key)) {
      this.#drop(text, from.name)
      return
    }
    const rollout: Rollout = { ref, from, to, failures: 0, isGivenUp: false }
    this.#cancel(text)
    this.#underWay.set(text, rollout)
    this.#options.onEvent('rollout.started', { ref: text, from: from.key, to: to.key })
    detach(this.#roll(text, rollout))
  }

  async #roll(text: string, rollout: Rollout): Promise<void> {
    const { load, onEvent } = this.#options
    const fields = { ref: text, from: rollout.from.key, to: rollout.to.key }
    try {
      await load(rollout.to)
    } catch (thrown) {
      const { code, message } = asGatewayError(thrown)
      rollout.isGivenUp = LASTING.has(code)
      const retryMs = rollout.isGivenUp ? undefined : this.#tryAgain(text, rollout)
      onEvent('rollout.failed', {
        ...fields,
        code,
        message,
        ...(retryMs === undefined ? {} : { retryInMs: Math.round(retryMs) }),
      })
      return
    }
    // A still newer version may have come meanwhile: then that rollout decides.
    if (this.#underWay.get(text) !== rollout) return
    onEvent('rollout.done', fields)
    this.#switchOver(text, rollout)
  }

  /** The name means the new version from now on, and is watched on. */
  #switchOver(text: string, { ref, from, to }: Rollout): void {
    this.#cancel(text)
    const meant = this.#meant.get(to.name) ?? new Map<string, Meaning>()
    meant.set(text, { ref, version: to })
    this.#meant.set(to.name, meant)
    this.#options.onMoved()
    this.#retireIfUnnamed(from)
  }

  /** @returns the milliseconds until then; undefined when another rollout decides about the name by now */
  #tryAgain(text: string, rollout: Rollout): number | undefined {
    if (this.#isClosed || this.#underWay.get(text) !== rollout) return undefined
    const { clock, random, retry } = this.#options
    rollout.failures++
    const delayMs = backoffMs(rollout.failures, retry, random)
    rollout.retry = clock.after(delayMs, () => {
      delete rollout.retry
      detach(this.#roll(text, rollout))
    })
    return delayMs
  }

  #cancel(text: string): void {
    this.#underWay.get(text)?.retry?.cancel()
    this.#underWay.delete(text)
  }

  /** The name no longer means this version; a version that no name means is let go. */
  #end(text: string, version: ModelVersion): void {
    this.#drop(text, version.name)
    this.#retireIfUnnamed(version)
  }

  #retireIfUnnamed({ name, key }: ModelVersion): void {
    for (const { version } of this.#meant.get(name)?.values() ?? []) if (version.key === key) return
    this.#options.retire(key)
  }

  #drop(text: string, name: string): void {
    this.#cancel(text)
    const meant = this.#meant.get(name)
    meant?.delete(text)
    if (meant?.size === 0) this.#meant.delete(name)
  }

  #refsOf({ name, version }: ModelVersion): ModelRef[] {
    return [{ name }, { name, version }, ...this.#options.aliasesOf(name).map((alias) => ({ name, alias }))]
  }

  #wanted(ref: ModelRef): ModelVersion | undefined {
    try {
      return this.#options.resolve(ref)
    } catch {
      return undefined
    }
  }
}
