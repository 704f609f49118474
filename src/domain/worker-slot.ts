/**
 * A slot is a worker's place: what hashes, queues and metrics know. While its process is recycled it holds two at once, the
 * predecessor and the successor, which are told apart by their worker ids: `worker-0` and `worker-0b`, in turns.
 */
const SECOND = 'b'

/** The slot that a worker serves, or is to serve. */
export function slotOf(workerId: string): string {
  return workerId.endsWith(SECOND) ? workerId.slice(0, -SECOND.length) : workerId
}

/** The id of a worker that is to follow this one in its slot. */
export function successorIdOf(workerId: string): string {
  return workerId.endsWith(SECOND) ? slotOf(workerId) : `${workerId}${SECOND}`
}
