/**
 * Which ModelKeys are refused, and why: keys whose strikes were enough, and keys whose compile proved them bad. Decides synchronously;
 * records go to disk behind a request's back, so that a restart refuses the same keys. A record whose file somebody removed is
 * released within `LOOK_MS`.
 */
import { createHash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { GatewayError } from '../domain/errors.ts'
import type { ModelVersion } from '../domain/model-version.ts'
import type { QuarantineRecord, Strike } from '../domain/quarantine.ts'
import type { Clock, Timer } from '../lib/clock.ts'
import { detach } from '../lib/detach.ts'
import { compileMessage, quarantineMessage, refusalOf, repeated } from './refusals.ts'
import type { RequestBody } from './request.ts'
import type { StrikeRules } from './strike-book.ts'
import { StrikeBook } from './strike-book.ts'

/** Records on disk, one file a key. */
export interface QuarantineRecords {
  /** The file of a key, as a person is told. */
  fileOf(key: string): string
  /** Appears whole or not at all. */
  write(record: QuarantineRecord): Promise<void>
  /** Removing what is not there is fine. */
  remove(key: string): Promise<void>
  /** Of these keys, those whose file is there; undefined when the folder cannot be looked at. */
  present(keys: Iterable<string>): Promise<ReadonlySet<string> | undefined>
}

export type ReleaseReason = 'file-removed' | 'expired' | 'superseded' | 'asked'

export interface QuarantineWatch {
  onStruck(version: ModelVersion, strike: Strike, counting: number): void
  onQuarantined(record: QuarantineRecord): void
  onReleased(record: QuarantineRecord, reason: ReleaseReason): void
  onWriteFailed(record: QuarantineRecord, error: unknown): void
}

export interface QuarantineOptions {
  readonly clock: Clock
  readonly rules: StrikeRules
  /** Milliseconds until a record is void by itself; null = never. */
  readonly expireMs: number | null
  /** What judgements of runs and opens, and of compiles, depend on beside the model's bytes. */
  readonly conditions: { readonly work: string; readonly compile: string }
  readonly records: QuarantineRecords
  /** As they were on disk at start. */
  readonly initial: readonly QuarantineRecord[]
  readonly watch: QuarantineWatch
}

/** How often the files of refused keys are looked at. */
const LOOK_MS = 1000
/** Records of keys that the registry does not list are kept so long, as a folder may come back. */
const KEEP_MS = 30 * 86_400_000
/** More are refused in memory only: their files would be a burden of their own. */
const MAX_RECORDS = 10_000
/** Compiles of one key that may be killed from outside in a row before the key is taken for the reason. */
const MAX_KILLED_COMPILES = 5
const MAX_COUNTED = 10_000

interface Held {
  readonly record: QuarantineRecord
  /** Its file has been seen, so its absence means something. */
  isOnDisk: boolean
}

export class Quarantine {
  readonly #options: QuarantineOptions
  readonly #book: StrikeBook
  readonly #held = new Map<string, Held>()
  readonly #killed = new LRUCache<string, number>({ max: MAX_COUNTED })
  #timer: Timer | undefined
  #isLooking = false
  #isClosed = false

  constructor(options: QuarantineOptions) {
    this.#options = options
    this.#book = new StrikeBook(options.rules)
    for (const record of options.initial) {
      if (this.#isValid(record)) this.#held.set(record.key, { record, isOnDisk: true })
      else detach(this.#forgetFile(record.key))
    }
    this.#watchFiles()
  }

  /** Why the key, or this very body, may not reach a worker; undefined = it may. */
  refusal(version: Pick<ModelVersion, 'key'>, content?: RequestBody): GatewayError | undefined {
    const held = this.#held.size === 0 ? undefined : this.#held.get(version.key)
    if (held !== undefined) return refusalOf(held.record, this.#options.records.fileOf(version.key))
    if (content === undefined) return undefined
    const { clock, rules } = this.#options
    const strike = this.#book.strikeOf(version.key, content.bodyBytes, clock.now(), () => digestOf(content))
    return strike === undefined ? undefined : repeated(strike, rules.windowMs)
  }

  /** A crash or hang was proven to be the model's own doing. @returns the record when that was one too many */
  strike(
    version: ModelVersion,
    what: Omit<Strike, 'at' | 'body'>,
    content?: RequestBody,
  ): QuarantineRecord | undefined {
    const { clock, watch } = this.#options
    if (this.#held.has(version.key)) return undefined
    const strike: Strike = {
      ...what,
      at: clock.wall(),
      ...(content === undefined ? {} : { body: digestOf(content) }),
    }
    const counting = this.#book.note(version.key, strike, clock.now(), content?.bodyBytes)
    watch.onStruck(version, strike, counting.length)
    if (!this.#book.isEnough(counting)) return undefined
    return this.#quarantine(version, counting)
  }

  /** A compile failed. What it proved of the model is remembered beyond this process; what it did not prove is counted. */
  compileFailed(version: ModelVersion, error: GatewayError): void {
    const { details = {} } = error.facts
    if (this.#held.has(version.key)) return
    if (error.code === 'ARTIFACT_INVALID' && typeof details.strike === 'string') {
      this.#condemnCompile(version, compileStrike(details), error.message)
    } else if (details.signal === 'SIGKILL') {
      const times = (this.#killed.get(version.key) ?? 0) + 1
      this.#killed.set(version.key, times)
      if (times < MAX_KILLED_COMPILES) return
      this.#condemnCompile(version, { reason: 'killed', how: 'SIGKILL' }, compileMessage(times))
    }
  }

  compiled({ key }: ModelVersion): void {
    this.#killed.delete(key)
  }

  /** Lets requests for the key in again. @returns false when it was not refused */
  async release(key: string): Promise<boolean> {
    if (!this.#release(key, 'asked')) return false
    await this.#forgetFile(key)
    return true
  }

  /** Forgets old records of keys that nobody can ask for any more, as their files have changed or are gone. */
  sweep(isKnown: (record: QuarantineRecord) => boolean): void {
    const before = this.#options.clock.wall() - KEEP_MS
    for (const { record } of this.#held.values()) {
      if (record.since >= before || isKnown(record)) continue
      this.#release(record.key, 'superseded')
      detach(this.#forgetFile(record.key))
    }
  }

  get size(): number {
    return this.#held.size
  }

  *records(): Iterable<QuarantineRecord> {
    for (const { record } of this.#held.values()) yield record
  }

  close(): void {
    this.#isClosed = true
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #condemnCompile(version: ModelVersion, what: Pick<Strike, 'reason' | 'how'>, message: string): void {
    const { clock, conditions, watch } = this.#options
    const { key, name: model, version: number } = version
    const at = clock.wall()
    const strike: Strike = { ...what, phase: 'compile', process: 'compiler', at }
    watch.onStruck(version, strike, 1)
    this.#hold({
      key,
      model,
      version: number,
      since: at,
      code: 'ARTIFACT_INVALID',
      message,
      conditions: conditions.compile,
      strikes: [strike],
    })
  }

  #quarantine({ key, name: model, version }: ModelVersion, strikes: readonly Strike[]): QuarantineRecord {
    const { clock, conditions } = this.#options
    return this.#hold({
      key,
      model,
      version,
      since: clock.wall(),
      code: 'MODEL_QUARANTINED',
      message: quarantineMessage(`${model}:${version}`, strikes),
      conditions: conditions.work,
      strikes,
    })
  }

  #hold(record: QuarantineRecord): QuarantineRecord {
    const held: Held = { record, isOnDisk: false }
    this.#held.set(record.key, held)
    this.#options.watch.onQuarantined(record)
    if (this.#held.size <= MAX_RECORDS) detach(this.#write(held))
    this.#watchFiles()
    return record
  }

  async #write(held: Held): Promise<void> {
    const { records, watch } = this.#options
    try {
      await records.write(held.record)
      held.isOnDisk = true
    } catch (error) {
      watch.onWriteFailed(held.record, error)
    }
    // Released while it was being written.
    if (this.#held.get(held.record.key) !== held) await this.#forgetFile(held.record.key)
  }

  #release(key: string, reason: ReleaseReason): boolean {
    const held = this.#held.get(key)
    if (held === undefined) return false
    this.#held.delete(key)
    this.#book.forget(key)
    this.#killed.delete(key)
    if (this.#held.size === 0) this.#stopWatching()
    this.#options.watch.onReleased(held.record, reason)
    return true
  }

  async #forgetFile(key: string): Promise<void> {
    // What cannot be removed is void all the same, and looked at again at the next start.
    await this.#options.records.remove(key).catch(() => {})
  }

  #isValid({ code, conditions: under, since }: QuarantineRecord): boolean {
    const { conditions, expireMs, clock } = this.#options
    if (under !== (code === 'ARTIFACT_INVALID' ? conditions.compile : conditions.work)) return false
    return expireMs === null || clock.wall() - since < expireMs
  }

  #watchFiles(): void {
    if (this.#isClosed || this.#held.size === 0) return
    this.#timer ??= this.#options.clock.every(LOOK_MS, () => detach(this.#look()))
  }

  #stopWatching(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return
    this.#isLooking = true
    try {
      for (const { record } of this.#held.values()) {
        if (this.#isValid(record)) continue
        this.#release(record.key, 'expired')
        await this.#forgetFile(record.key)
      }
      const onDisk = [...this.#held].filter(([, { isOnDisk }]) => isOnDisk)
      const present = await this.#options.records.present(onDisk.map(([key]) => key))
      if (present === undefined || this.#isClosed) return
      for (const [key, held] of onDisk) {
        // Another record of the key may have come meanwhile, whose file nobody has looked for.
        if (!present.has(key) && this.#held.get(key) === held) this.#release(key, 'file-removed')
      }
    } finally {
      this.#isLooking = false
    }
  }
}

function digestOf({ body }: RequestBody): string {
  const digest = createHash('sha256')
  for (const chunk of body) digest.update(chunk)
  return digest.digest('hex')
}

/** What a refusal that names a strike says of it. */
function compileStrike({
  strike,
  signal,
  deadlineMs,
}: Readonly<Record<string, unknown>>): Pick<Strike, 'reason' | 'how'> {
  if (strike === 'deadline') return { reason: 'deadline', how: `${String(deadlineMs)} ms` }
  if (strike === 'memory') return { reason: 'memory', how: 'the cap on its memory' }
  return { reason: 'crash', how: String(signal) }
}
