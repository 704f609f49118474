/**
 * One connection as the loops see it: sends a piece of work and calls `done` once when it is over, well or badly, never before it returns.
 * `dueAt` is when the work should have been sent, in the clock's milliseconds: its latency counts from there. One at a time.
 */
export type Lane<Work> = (work: Work, dueAt: number, done: () => void) => void
