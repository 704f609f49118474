/**
 * Heap that the folder registry keeps per model: an empty folder first, so that code and scanner thread are there already, then the
 * real one; garbage collected before each look. Run with --expose-gc; argv: an empty folder, the models folder. Tells its parent.
 */
import { loadConfig } from '../../src/config/load.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { FolderRegistry } from '../../src/registry/folder-registry.ts'

export interface HeapReport {
  readonly models: number
  /** Main thread's heap after collection. */
  readonly heapBytesPerModel: number
  /** Resident memory of the process, the scanner thread included: what it cost while it scanned, not only what it keeps. */
  readonly residentBytesPerModel: number
}

/** One collection leaves what finalisers of the one before released. */
const COLLECTIONS = 4

async function registryOf(models: string): Promise<FolderRegistry> {
  const { model, store } = loadConfig({ env: {}, folders: 'ignore' })
  const registry = new FolderRegistry({
    models,
    pollMs: store.pollMs,
    settleMs: store.settleMs,
    defaults: model,
    clock: systemClock,
  })
  await registry.start()
  await registry.initialScan
  return registry
}

function memory(): NodeJS.MemoryUsage {
  for (let i = 0; i < COLLECTIONS; i += 1) globalThis.gc?.()
  return process.memoryUsage()
}

async function measure([empty = '', full = '']: readonly string[]): Promise<HeapReport> {
  const without = await registryOf(empty)
  const before = memory()
  const registry = await registryOf(full)
  const after = memory()
  const models = registry.size.models
  await Promise.all([registry.close(), without.close()])
  return {
    models,
    heapBytesPerModel: (after.heapUsed - before.heapUsed) / models,
    residentBytesPerModel: (after.rss - before.rss) / models,
  }
}

process.send?.(await measure(process.argv.slice(2)))
process.disconnect()
