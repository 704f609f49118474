/** What the admin routes tell, and from where. */
import type { JournalRecord } from '../telemetry/journal-record.ts'
import type { Overview } from '../telemetry/overview.ts'

export interface AdminSource {
  /** With the `top` busiest models. */
  overview(top: number): Promise<Overview>
  /** Of the journal, those after the number `since`, the latest `limit` of them, oldest first. */
  events(since: number, limit: number): readonly JournalRecord[]
  /** The number of the latest event; 0 = there is none. */
  lastEvent(): number
}
