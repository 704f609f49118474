/**
 * What happened to models and processes, kept over restarts: the latest records in memory, all of them up to a bound on disk.
 * Noting a record never waits: lines are gathered and written in the background, one write at a time, and what finds no room, or no
 * disk, is dropped and counted. A journal that was never opened on a folder keeps its records in memory only.
 */
import type { Clock, Timer } from '../lib/clock.ts'
import { within } from '../lib/clock.ts'
import { detach } from '../lib/detach.ts'
import type { EventName, LogLevel } from './events.ts'
import { JournalFiles } from './journal-files.ts'
import type { JournalRecord } from './journal-record.ts'
import { journalFields } from './journal-record.ts'
import type { EventFields, EventLog } from './log.ts'

export interface JournalOptions {
  readonly clock: Clock
  /** Told once when writing begins to fail, and once when it works again. */
  readonly log: EventLog
  /** Bytes of all files together; 0 = memory only. */
  readonly maxBytes: number
  /** Bytes that may wait for a slow disk. */
  readonly maxPendingBytes?: number
}

/** Records that can be asked for. */
const REMEMBERED = 1000
const MAX_PENDING_BYTES = 2 ** 20
/** Events come in bursts: one write takes a burst. */
const GATHER_MS = 200
/** A disk that failed is not tried again at once. */
const PAUSE_MS = 5000

export class Journal {
  readonly #options: JournalOptions
  readonly #maxPendingBytes: number
  #recent: JournalRecord[] = []
  #lastSeq = 0
  #pending: string[] = []
  #pendingBytes = 0
  #firstPending = 0
  #files: JournalFiles | undefined
  #timer: Timer | undefined
  #writing: Promise<void> | undefined
  #dropped = 0
  #isFailing = false
  #isClosed = false

  constructor(options: JournalOptions) {
    this.#options = options
    this.#maxPendingBytes = options.maxPendingBytes ?? MAX_PENDING_BYTES
  }

  /** Records that are not on disk although they should be. */
  get dropped(): number {
    return this.#dropped
  }

  /** The number of the latest record; 0 = there is none. */
  get lastSeq(): number {
    return this.#lastSeq
  }

  /**
   * Goes on in `dir`, which must be this process's own: earlier records are read, those noted so far are written behind them. A
   * folder that cannot be read leaves the journal in memory, and says so.
   */
  async open(dir: string): Promise<void> {
    const { maxBytes, log } = this.#options
    if (maxBytes === 0) return
    try {
      const { files, records } = await JournalFiles.open(dir, maxBytes, REMEMBERED)
      this.#files = files
      this.#goOnAfter(records)
    } catch (err) {
      log.event('journal.failed', { err })
    }
  }

  note(event: EventName, level: LogLevel, fields: EventFields): void {
    if (this.#isClosed) return
    const at = new Date(this.#options.clock.wall()).toISOString()
    const record: JournalRecord = { seq: ++this.#lastSeq, at, level, event, fields: journalFields(fields) }
    this.#recent.push(record)
    if (this.#recent.length >= 2 * REMEMBERED) this.#recent = this.#recent.slice(-REMEMBERED)
    // Before that the latest are enough: `open` writes those.
    if (this.#files !== undefined) this.#queue(record)
  }

  /** Records after the number `since`, oldest first, the latest `limit` of them. */
  read(since: number, limit: number): readonly JournalRecord[] {
    const first = this.#recent.findIndex(({ seq }) => seq > since)
    return first === -1 ? [] : this.#recent.slice(first).slice(-Math.min(limit, REMEMBERED))
  }

  /** Writes what waits, for at most `timeoutMs`. Idempotent; nothing is noted after the call. */
  async close(timeoutMs: number): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    const written = this.#flush().then(() => this.#files?.close().catch(() => undefined))
    await within(timeoutMs, this.#options.clock, written)
  }

  /** Records noted before the folder was opened get numbers behind those that it holds. */
  #goOnAfter(earlier: readonly JournalRecord[]): void {
    const offset = earlier.at(-1)?.seq ?? 0
    const early = this.#recent.map((record) => ({ ...record, seq: record.seq + offset }))
    this.#lastSeq += offset
    this.#recent = [...earlier, ...early]
    for (const record of early) this.#queue(record)
  }

  #queue(record: JournalRecord): void {
    const line = lineOf(record)
    if (line === undefined || this.#pendingBytes + line.length > this.#maxPendingBytes) {
      this.#dropped++
      return
    }
    if (this.#pending.length === 0) this.#firstPending = record.seq
    this.#pending.push(line)
    this.#pendingBytes += line.length
    this.#gather(GATHER_MS)
  }

  #gather(ms: number): void {
    if (this.#timer !== undefined || this.#writing !== undefined || this.#isClosed) return
    this.#timer = this.#options.clock.after(ms, () => {
      this.#timer = undefined
      detach(this.#flush())
    })
  }

  /** Resolves when nothing waits any more, or a write failed. */
  async #flush(): Promise<void> {
    while (this.#files !== undefined && (this.#writing !== undefined || this.#pending.length > 0)) {
      this.#writing ??= this.#write(this.#files).finally(() => {
        this.#writing = undefined
      })
      await this.#writing
      if (this.#isFailing) break
    }
    if (this.#pending.length > 0) this.#gather(this.#isFailing ? PAUSE_MS : GATHER_MS)
  }

  async #write(files: JournalFiles): Promise<void> {
    const lines = this.#pending
    this.#pending = []
    this.#pendingBytes = 0
    const { log } = this.#options
    try {
      await files.append(lines.join(''), this.#firstPending)
      if (this.#isFailing) log.event('journal.recovered', { dropped: this.#dropped })
      this.#isFailing = false
    } catch (err) {
      this.#dropped += lines.length
      if (!this.#isFailing) log.event('journal.failed', { err })
      this.#isFailing = true
    }
  }
}

/** Undefined for facts that JSON cannot hold. */
function lineOf(record: JournalRecord): string | undefined {
  try {
    return `${JSON.stringify(record)}\n`
  } catch {
    return undefined
  }
}
