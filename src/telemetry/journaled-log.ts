/** A log whose kept events go into the journal too, at whatever level the log writes. */
import type { EventName, LogLevel } from './events.ts'
import { isKept, levelOf } from './events.ts'
import type { Journal } from './journal.ts'
import type { EventFields, LineLog } from './log.ts'

export class JournaledLog implements LineLog {
  readonly #log: LineLog
  readonly #journal: Journal

  constructor(log: LineLog, journal: Journal) {
    this.#log = log
    this.#journal = journal
  }

  event(name: EventName, fields: EventFields = {}, level: LogLevel = levelOf(name)): void {
    this.#log.event(name, fields, level)
    if (isKept(name)) this.#journal.note(name, level, fields)
  }

  line(name: EventName, fields: string): void {
    this.#log.line(name, fields)
  }
}
