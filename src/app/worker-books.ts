/** A worker's process beside what the replica knows to be in it. */
import { countMappings, readProcessMemory } from '../child/memory.ts'
import type { WorkerBooks } from '../replica/worker-drift.ts'
import type { Worker } from '../worker/worker.ts'
import type { ReplicaRooms } from './replica-rooms.ts'

/** Undefined when the process is gone. `isThorough`: its mappings are counted, some 10 ms for 50,000. */
export async function workerBooks(
  { placements, residents }: Pick<ReplicaRooms, 'placements' | 'residents'>,
  { id, pid, atStart }: Worker,
  isThorough: boolean,
): Promise<WorkerBooks | undefined> {
  const memory = await readProcessMemory(pid)
  const mappings = isThorough ? await countMappings(pid).catch(() => 0) : undefined
  if (memory === undefined) return undefined
  // Read last, in one turn: what was opened meanwhile is in the books rather than in the drift.
  const cost = placements.costOf(id)
  let activationBytes = 0
  for (const { key } of placements.ofWorker(id)) {
    const peaks = residents.get(key)?.manifest.probe?.activationBytes ?? []
    activationBytes = Math.max(activationBytes, ...peaks)
  }
  return {
    privateBytes: memory.privateBytes,
    startBytes: atStart.privateBytes,
    chargedBytes: cost.privateBytes,
    activationBytes,
    mappings,
    chargedMappings: atStart.mappings + cost.mappings,
  }
}
