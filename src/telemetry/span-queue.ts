/**
 * Spans on their way to a collector: a bounded queue, batches in the background, one at a time. Whatever the collector does, nobody
 * waits for it: what finds no room and what it did not take is dropped and counted.
 */
import type { ReadableSpan } from '@opentelemetry/sdk-trace'
import type { Clock, Timer } from '../lib/clock.ts'
import { within } from '../lib/clock.ts'
import { detach } from '../lib/detach.ts'
import type { EventLog } from './log.ts'
import { redactUrls } from './redact.ts'

/** The part of OpenTelemetry's exporters that is used. */
export interface SpanSink {
  /** Calls back once; `code` 0 = taken. */
  export(spans: ReadableSpan[], done: (result: { readonly code: number; readonly error?: Error }) => void): void
  shutdown(): Promise<void>
}

export type DropReason = 'queue-full' | 'not-taken'

export interface SpanQueueOptions {
  readonly sink: SpanSink
  readonly clock: Clock
  /** Told once when the collector begins to fail, and once when it takes spans again. */
  readonly log: EventLog
  /** Spans that may wait. */
  readonly maxQueued: number
  readonly onDropped: (spans: number, reason: DropReason) => void
}

const GATHER_MS = 1000
/** Encoding a batch blocks the event loop: some 5 us a span. */
const BATCH = 256

export class SpanQueue {
  readonly #options: SpanQueueOptions
  #queue: ReadableSpan[] = []
  #timer: Timer | undefined
  #sending: Promise<void> | undefined
  #isFailing = false
  #isClosed = false

  constructor(options: SpanQueueOptions) {
    this.#options = options
  }

  /** All of them or, when there is no room for all, none: half a trace says little. */
  add(spans: readonly ReadableSpan[]): void {
    const { maxQueued, onDropped } = this.#options
    if (this.#isClosed || this.#queue.length + spans.length > maxQueued) {
      onDropped(spans.length, 'queue-full')
      return
    }
    this.#queue.push(...spans)
    this.#gather(this.#queue.length >= BATCH ? 0 : GATHER_MS)
  }

  /** Sends what waits, for at most `timeoutMs`; the rest is dropped and counted. Idempotent. */
  async close(timeoutMs: number): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#timer?.cancel()
    const { clock, sink, onDropped } = this.#options
    await within(timeoutMs, clock, this.#sendAll())
    if (this.#queue.length > 0) onDropped(this.#queue.length, 'queue-full')
    this.#queue = []
    // It waits for what is under way, which may never end.
    detach(sink.shutdown().catch(() => undefined))
  }

  #gather(ms: number): void {
    if (this.#sending !== undefined || this.#isClosed) return
    if (this.#timer !== undefined && ms > 0) return
    this.#timer?.cancel()
    this.#timer = this.#options.clock.after(ms, () => {
      this.#timer = undefined
      detach(this.#sendBatch())
    })
  }

  async #sendAll(): Promise<void> {
    while (this.#queue.length > 0 || this.#sending !== undefined) {
      await this.#sendBatch()
      if (this.#isFailing) return
    }
  }

  /** Sends the oldest, behind what is being sent already. */
  async #sendBatch(): Promise<void> {
    if (this.#sending === undefined) {
      const spans = this.#queue.splice(0, BATCH)
      if (spans.length === 0) return
      this.#sending = this.#send(spans).finally(() => {
        this.#sending = undefined
        if (this.#queue.length > 0) this.#gather(this.#queue.length >= BATCH ? 0 : GATHER_MS)
      })
    }
    await this.#sending
  }

  async #send(spans: ReadableSpan[]): Promise<void> {
    const { log, onDropped } = this.#options
    const problem = await this.#export(spans)
    if (problem !== undefined) onDropped(spans.length, 'not-taken')
    if ((problem !== undefined) === this.#isFailing) return
    this.#isFailing = problem !== undefined
    if (problem === undefined) log.event('traces.recovered')
    else log.event('traces.not-taken', { message: redactUrls(problem) })
  }

  /** @returns why they were not taken */
  #export(spans: ReadableSpan[]): Promise<string | undefined> {
    return new Promise((resolve) => {
      try {
        this.#options.sink.export(spans, ({ code, error }) =>
          resolve(code === 0 ? undefined : (error?.message ?? 'the collector did not take them')),
        )
      } catch (error) {
        resolve(String(error))
      }
    })
  }
}
