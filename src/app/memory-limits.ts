/** How much memory a replica may promise to models, and at how much its workers are stopped. */
import { readFile } from 'node:fs/promises'
import type { Config } from '../config/schema.ts'
import type { MemoryLimits } from '../worker/memory-guard.ts'

/** What a worker takes beside models: itself 60 MB, and several copies of the largest bodies while they are decoded. */
const BESIDE_MODELS_BYTES = 256 * 2 ** 20
/** The rest is the main process's and the compilers'. */
const WORKERS_SHARE = 0.9

/** Of the system's limit of mappings a process; the rest is for the heaps of the process itself, and for what a run maps. */
const MAPPINGS_SHARE = 0.8

/** Mappings that models may take in each worker process, as this system allows: beyond its limit every allocation fails. */
export async function systemMappings(): Promise<number> {
  return Math.floor(Number(await readFile('/proc/sys/vm/max_map_count', 'latin1')) * MAPPINGS_SHARE)
}

/** Bytes for open models. `limitBytes`: the memory limit this process is under. */
export function budgetBytes({ memoryBytes, memoryFraction }: Config['cache'], limitBytes: number): number {
  return memoryBytes ?? Math.floor(limitBytes * memoryFraction)
}

/**
 * Workers together may hold privately twice the budget, since a model that is not mapped is in memory twice while it is opened, and
 * what they need beside models; never what the system's own killer would act on. Honest workers stay below by the ledger: it
 * promises no more than the budget once, activations included.
 */
export function workerLimits(
  { memoryBytes }: Config['worker'],
  workers: number,
  budget: number,
  limitBytes: number,
): MemoryLimits {
  const togetherBytes = Math.min(2 * budget + workers * BESIDE_MODELS_BYTES, Math.floor(WORKERS_SHARE * limitBytes))
  return { eachBytes: Math.min(memoryBytes ?? togetherBytes, togetherBytes), togetherBytes }
}
