/** Rooms name their events in plain text; the log has a table of them. An event that the table lacks is logged under its own name's fallback, not lost. */
import type { EventName } from '../telemetry/events.ts'
import { EVENTS } from '../telemetry/events.ts'
import type { EventLog } from '../telemetry/log.ts'

export type EventSink = (name: string, fields: Readonly<Record<string, unknown>>) => void

export function eventSink(log: EventLog): EventSink {
  return (name, fields) => {
    if (isEventName(name)) log.event(name, fields)
    else log.event('event.unlisted', { name, ...fields })
  }
}

function isEventName(name: string): name is EventName {
  return Object.hasOwn(EVENTS, name)
}
