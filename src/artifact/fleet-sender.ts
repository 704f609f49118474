/**
 * Brings artifacts that were made here to the place that a fleet shares, in the background, one after the other. Files first, the manifest
 * last. What is there is not sent again, but for what was found to be wrong.
 */
import { hash } from 'node:crypto'
import { join } from 'node:path'
import type { Manifest } from '../domain/artifact.ts'
import type { Circuit } from '../lib/circuit.ts'
import type { Clock } from '../lib/clock.ts'
import { pause } from '../lib/clock.ts'
import { detach } from '../lib/detach.ts'
import { Semaphore } from '../lib/semaphore.ts'
import { filesOf, manifestText } from './fleet-manifest.ts'
import type { FleetContent, FleetLimits, FleetPlace } from './fleet-place.ts'
import { FleetTrouble, manifestKey, probeKey } from './fleet-place.ts'

/** Why an artifact was not sent. */
export type DropReason = 'queue-full' | 'too-large' | 'failed' | 'closed'

export interface FleetSenderParts {
  readonly place: FleetPlace
  readonly limits: FleetLimits
  /** Absolute path of the cache folder. */
  readonly dir: string
  readonly clock: Clock
  readonly circuit: Circuit
  /** Keys of objects that were found to be wrong: they are replaced, and taken out. */
  readonly wrong: Set<string>
  /** The artifact as it is now, and the hold that keeps it; undefined when it is gone. */
  readonly hold: (artifact: string) => { readonly manifest: Manifest; release(): void } | undefined
  readonly onBytes: (bytes: number) => void
  readonly onSent: (artifact: string, sent: { readonly files: number; readonly bytes: number }) => void
  readonly onDropped: (artifact: string, reason: DropReason, error: unknown) => void
}

/** Whoever waits for the first answer of a model has the network and the disk for himself. */
const SEND_AFTER_MS = 1_000
/** Of one artifact, `retryMs` apart, while the place does not answer. Once one was given up, the next have one try each until one is sent. */
const MAX_TRIES = 5

export class FleetSender {
  readonly #parts: FleetSenderParts
  readonly #queue = new Set<string>()
  readonly #closing = new AbortController()
  #running: Promise<void> | undefined
  #hasGivenUp = false

  constructor(parts: FleetSenderParts) {
    this.#parts = parts
  }

  get queued(): number {
    return this.#queue.size
  }

  /** Sends what the place lacks of the artifact, soon. */
  send(artifact: string): void {
    if (this.#closing.signal.aborted || this.#queue.has(artifact)) return
    if (this.#queue.size >= this.#parts.limits.maxQueued) {
      this.#parts.onDropped(artifact, 'queue-full', undefined)
      return
    }
    this.#queue.add(artifact)
    if (this.#running !== undefined) return
    this.#running = this.#run()
    detach(this.#running)
  }

  /** Resolves when all that was to be sent is there or was dropped. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running
  }

  /** Drops what waits, and ends what is on its way. Idempotent. */
  async close(): Promise<void> {
    this.#closing.abort(new FleetTrouble('unavailable', 'this process is ending'))
    await this.idle()
  }

  async #run(): Promise<void> {
    const { clock, onDropped } = this.#parts
    const { signal } = this.#closing
    await pause(clock, SEND_AFTER_MS, signal).catch(() => {})
    // What is sent leaves the queue first: made anew meanwhile, it is sent anew.
    for (const artifact of this.#queue) {
      this.#queue.delete(artifact)
      if (signal.aborted) onDropped(artifact, 'closed', undefined)
      else await this.#sendPatiently(artifact)
    }
    // In one step with the look at the queue: what comes later begins anew.
    this.#running = undefined
  }

  async #sendPatiently(artifact: string): Promise<void> {
    const { clock, circuit, limits, onDropped } = this.#parts
    const { signal } = this.#closing
    for (let tries = 1; ; tries++) {
      const held = this.#parts.hold(artifact)
      if (held === undefined) return
      try {
        await this.#send(held.manifest, signal)
        circuit.succeeded()
        this.#hasGivenUp = false
        return
      } catch (error) {
        if (signal.aborted) return onDropped(artifact, 'closed', undefined)
        const mayPass = error instanceof FleetTrouble && error.kind === 'unavailable'
        if (!mayPass || this.#hasGivenUp || tries === MAX_TRIES) {
          this.#hasGivenUp ||= mayPass
          return onDropped(artifact, 'failed', error)
        }
      } finally {
        held.release()
      }
      await pause(clock, limits.retryMs, signal).catch(() => {})
    }
  }

  async #send(manifest: Manifest, signal: AbortSignal): Promise<void> {
    const { limits, dir, onDropped, onSent, wrong } = this.#parts
    const { artifact } = manifest
    const text = manifestText(manifest)
    if (text === undefined) return
    const all = filesOf(manifest)
    if (all.reduce((sum, { bytes }) => sum + bytes, 0) > limits.maxArtifactBytes)
      return onDropped(artifact, 'too-large', undefined)
    const sent = { files: 0, bytes: 0 }
    const send = async (key: string, content: FleetContent, sha256: string): Promise<void> => {
      if (!(await this.#put(key, content, sha256, signal))) return
      sent.files++
      sent.bytes += Buffer.isBuffer(content) ? content.length : content.bytes
    }
    const key = manifestKey(artifact)
    if (wrong.has(key) || (await this.#parts.place.head(key, signal)) === undefined) {
      const failed = new AbortController()
      const turns = new Semaphore(limits.parallel)
      const sending = all.map(({ path, digest, bytes, ...file }) =>
        turns
          .use(() => send(file.key, { path: join(dir, path), bytes }, digest), failed.signal)
          .catch((error) => {
            failed.abort(error)
            throw error
          }),
      )
      await Promise.allSettled(sending)
      await Promise.all(sending)
      await send(key, Buffer.from(text), hash('sha256', text, 'hex'))
    }
    if (manifest.probe !== undefined) {
      const probe = JSON.stringify(manifest.probe)
      await send(probeKey(artifact), Buffer.from(probe), hash('sha256', probe, 'hex'))
    }
    if (sent.files > 0) onSent(artifact, sent)
  }

  /** @returns whether it was sent */
  async #put(key: string, content: FleetContent, sha256: string, signal: AbortSignal): Promise<boolean> {
    const { place, wrong, onBytes } = this.#parts
    const isWrong = wrong.has(key)
    const isText = Buffer.isBuffer(content)
    const bytes = isText ? content.length : content.bytes
    if (!isWrong) {
      const found = await place.head(key, signal)
      // Texts are no two alike, and the first stands; of a file there is one content.
      if (found !== undefined && (isText || (found.bytes === bytes && (found.sha256 ?? sha256) === sha256)))
        return false
    }
    const isSent = await place.put(key, content, { sha256, over: isText && !isWrong ? 'nothing' : 'anything', signal })
    wrong.delete(key)
    if (isSent) onBytes(bytes)
    return isSent
  }
}
