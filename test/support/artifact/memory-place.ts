/** What a fleet shares, in memory: counts what is asked of it, and can be damaged, stopped and slowed. */
import { readFile } from 'node:fs/promises'
import type {
  FleetContent,
  FleetLimits,
  FleetObject,
  FleetPlace,
  PutOptions,
} from '../../../src/artifact/fleet-place.ts'
import { FleetTrouble } from '../../../src/artifact/fleet-place.ts'

export const FLEET_LIMITS: FleetLimits = {
  lookupMs: 60_000,
  deadlineMs: 60_000,
  deadlineMsPerMiB: 0,
  maxArtifactBytes: 2 ** 30,
  parallel: 4,
  maxQueued: 100,
  retryMs: 60_000,
}

export class MemoryPlace implements FleetPlace {
  readonly objects = new Map<string, Buffer>()
  /** Every call, as `head artifacts/...`. */
  readonly calls: string[] = []
  readBytes = 0
  /** What calls end with, while it is set. */
  trouble: FleetTrouble | undefined
  /** What is asked of these keys is not answered before its signal aborts. */
  isStuck: (key: string) => boolean = () => false
  readonly #waiting: { readonly part: string; readonly resolve: () => void }[] = []

  async head(key: string, signal: AbortSignal): Promise<FleetObject | undefined> {
    await this.#answer('head', key, signal)
    const content = this.objects.get(key)
    return content === undefined ? undefined : { bytes: content.length, sha256: undefined }
  }

  async read(key: string, bytes: number, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    await this.#answer('read', key, signal)
    const content = this.objects.get(key)
    if (content === undefined) throw new FleetTrouble('missing', 'there is no such object', key)
    if (content.length < bytes) throw new FleetTrouble('wrong', 'it is too short', key)
    const count = (sent: number): void => {
      this.readBytes += sent
    }
    return (async function* () {
      for (let at = 0; at < bytes; at += 10_000) {
        const chunk = content.subarray(at, Math.min(at + 10_000, bytes))
        count(chunk.length)
        yield chunk
      }
    })()
  }

  async put(key: string, content: FleetContent, { over, signal }: PutOptions): Promise<boolean> {
    await this.#answer('put', key, signal)
    if (over === 'nothing' && this.objects.has(key)) return false
    this.objects.set(key, Buffer.isBuffer(content) ? content : await readFile(content.path))
    return true
  }

  /** Keys with this beginning and end. */
  keys(prefix: string, suffix = ''): string[] {
    return [...this.objects.keys()].filter((key) => key.startsWith(prefix) && key.endsWith(suffix))
  }

  /** Resolves when something was asked of a key with this in it. */
  asked(part: string): Promise<void> {
    if (this.calls.some((call) => call.includes(part))) return Promise.resolve()
    return new Promise((resolve) => void this.#waiting.push({ part, resolve }))
  }

  async #answer(what: string, key: string, signal: AbortSignal): Promise<void> {
    this.calls.push(`${what} ${key}`)
    for (const { part, resolve } of this.#waiting) if (key.includes(part)) resolve()
    if (this.trouble !== undefined) throw this.trouble
    signal.throwIfAborted()
    if (!this.isStuck(key)) return
    await new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    })
  }
}
