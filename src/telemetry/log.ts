/**
 * Named events as lines on a file descriptor. Writing never blocks the event loop and never grows without bound: lines are
 * handed to an asynchronous writer, and when its reader is stuck, whole lines are dropped and counted.
 */

import type { DestinationStream, Logger } from 'pino'
import { pino } from 'pino'
import type { EventName, LogLevel } from './events.ts'
import { levelOf } from './events.ts'
import { textLine } from './text-line.ts'

/** Plain facts; `err` takes an Error and prints its stack and causes. Never bodies, never secrets. */
export type EventFields = Readonly<Record<string, unknown>>

export interface LogOptions {
  readonly level: LogLevel | 'silent'
  /** `json`: one object a line; `text`: for people. */
  readonly format: 'json' | 'text'
  /** File descriptor; standard output belongs to what commands print, so the usual choice is 2. */
  readonly fd: number
  /** Bytes that may wait for a slow reader before lines are dropped. */
  readonly maxBufferedBytes: number
}

/** Lines are gathered into writes of this size: a write for each line would cost more than everything else a request does. */
const CHUNK_BYTES = 32 * 1024
const LARGEST_WRITE_BYTES = 64 * 1024
/** How long a line may lie around; what is at least a warning goes out at once. */
const FLUSH_MS = 100
const URGENT: ReadonlySet<LogLevel> = new Set(['warn', 'error', 'fatal'])

/** What most rooms need of a log. */
export interface EventLog {
  event(name: EventName, fields?: EventFields, level?: LogLevel): void
}

/** A log that takes an event's fields as JSON that is written already, without braces. */
export interface LineLog extends EventLog {
  line(name: EventName, fields: string): void
}

export class Log implements LineLog {
  readonly #destination: ReturnType<typeof pino.destination>
  readonly #logger: Logger
  readonly #stream: DestinationStream
  #dropped = 0
  #isClosed = false
  #closed: Promise<void> | undefined

  constructor({ level, format, fd, maxBufferedBytes }: LogOptions) {
    this.#destination = pino.destination({
      fd,
      sync: false,
      minLength: CHUNK_BYTES,
      maxWrite: LARGEST_WRITE_BYTES,
      periodicFlush: FLUSH_MS,
      maxLength: maxBufferedBytes,
    })
    this.#destination.on('drop', () => this.#dropped++)
    // A reader that went away (`modelmux | head`) must not end the server.
    this.#destination.on('error', () => this.#dropped++)
    this.#stream = format === 'json' ? this.#destination : this.#asText()
    this.#logger = pino(
      {
        level,
        base: null,
        messageKey: 'event',
        timestamp: pino.stdTimeFunctions.isoTime,
        formatters: { level: (label) => ({ level: label }) },
        serializers: { err: pino.stdSerializers.errWithCause },
      },
      this.#stream,
    )
  }

  /** Logs an event at its level in the table, or at another one. */
  event(name: EventName, fields: EventFields = {}, level: LogLevel = levelOf(name)): void {
    if (this.#isClosed) return
    this.#logger[level](fields, name)
    if (URGENT.has(level)) this.#destination.flush()
  }

  /** The same line as `event` writes, for an event that is not urgent. */
  line(name: EventName, fields: string): void {
    const level = levelOf(name)
    if (this.#isClosed || !this.#logger.isLevelEnabled(level)) return
    this.#stream.write(`{"level":"${level}"${pino.stdTimeFunctions.isoTime()},${fields},"event":"${name}"}\n`)
  }

  /** Would an event at this level be written? */
  isOn(level: LogLevel): boolean {
    return this.#logger.isLevelEnabled(level)
  }

  /** Lines lost since the start because nobody read them fast enough. */
  get dropped(): number {
    return this.#dropped
  }

  /** Resolves when what was logged is written, or could not be. Events after the call are ignored. */
  close(): Promise<void> {
    this.#isClosed = true
    this.#closed ??= new Promise((resolve) => {
      this.#destination.once('close', resolve)
      this.#destination.end()
    })
    return this.#closed
  }

  /** Lets go of what is not written yet. */
  abandon(): void {
    this.#isClosed = true
    this.#destination.destroy()
  }

  #asText(): DestinationStream {
    return { write: (line: string) => this.#destination.write(textLine(line)) }
  }
}
