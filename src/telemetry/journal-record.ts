/** One line of the journal: what happened, when, and the plain facts of it. */
import type { EventName, LogLevel } from './events.ts'
import { redact } from './redact.ts'

export interface JournalRecord {
  /** Counts up from 1 over the life of a cache folder; a gap is what could not be written. */
  readonly seq: number
  /** Date and time, ISO 8601 in UTC. Wall time: it may jump; `seq` never does. */
  readonly at: string
  readonly level: LogLevel
  readonly event: EventName
  readonly fields: Readonly<Record<string, unknown>>
}

/** Longest text of one fact: errors of libraries can be pages. */
const MAX_TEXT = 500

/** The facts of an event fit for the journal: errors as code and message, secrets hidden, texts bounded. */
export function journalFields(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => {
      if (value instanceof Error) return [name, errorFacts(value)]
      return [name, redact(name, typeof value === 'string' ? value.slice(0, MAX_TEXT) : value)]
    }),
  )
}

/** Undefined for a line that is not a whole record. */
export function parseRecord(line: string): JournalRecord | undefined {
  if (!line.startsWith('{"seq":')) return undefined
  try {
    const value: unknown = JSON.parse(line)
    return isRecord(value) ? value : undefined
  } catch {
    return undefined
  }
}

function isRecord(value: unknown): value is JournalRecord {
  if (typeof value !== 'object' || value === null) return false
  const { seq, at, event, fields } = value as Partial<Record<keyof JournalRecord, unknown>>
  const isNamed = typeof at === 'string' && typeof event === 'string'
  return Number.isSafeInteger(seq) && isNamed && typeof fields === 'object' && fields !== null
}

function errorFacts(error: Error): Record<string, unknown> {
  const message = redact('message', error.message.slice(0, MAX_TEXT))
  return 'code' in error && typeof error.code === 'string' ? { code: error.code, message } : { message }
}
