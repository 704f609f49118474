/** What the cache folder has of some models, room by room. No server may be at the folder meanwhile: its lock is held. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { FolderLock } from '../artifact/folder-lock.ts'
import { type ArtifactsPurge, purgeArtifacts } from '../artifact/purge.ts'
import { QuarantineFolder } from '../artifact/quarantine-folder.ts'
import type { Config } from '../config/schema.ts'
import { parseModelKey } from '../domain/model-version.ts'
import { isPurged, isPurgedKey, mentions, NOTHING, type PurgeTarget, type Removed } from '../domain/purge.ts'
import type { Clock } from '../lib/clock.ts'
import { purgeSnapshots } from '../registry/purge-snapshots.ts'
import { Staging } from '../store/staging.ts'
import { purgeJournal } from '../telemetry/purge-journal.ts'
import { JOURNAL_FOLDER, REGISTRY_FOLDER, STAGING_FOLDER } from './cache-layout.ts'

export interface CachePurge extends ArtifactsPurge {
  /** Fetched files. */
  readonly staged: Removed
  /** Models that registries remembered. */
  readonly remembered: readonly string[]
  readonly quarantined: number
  readonly journal: number
}

/** A server is at the cache folder. */
export class CacheInUseError extends Error {
  override readonly name = 'CacheInUseError'
}

const NONE: CachePurge = {
  artifacts: NOTHING,
  blobs: NOTHING,
  sources: 0,
  kept: 0,
  digests: [],
  staged: NOTHING,
  remembered: [],
  quarantined: 0,
  journal: 0,
}

/** @throws CacheInUseError; errors of the file system */
export async function purgeCache(
  { cache }: Config,
  target: PurgeTarget,
  { isDryRun, clock }: { readonly isDryRun: boolean; readonly clock: Clock },
): Promise<CachePurge> {
  if ((await stat(cache.dir).catch(() => undefined)) === undefined) return NONE
  const lock = await FolderLock.take(cache.dir)
  if (lock === undefined)
    throw new CacheInUseError(
      `a server is using the cache folder ${cache.dir}: stop it, and all that share the folder, then purge again`,
    )
  try {
    return await purgeFolder(cache, target, isDryRun, clock)
  } finally {
    await lock.release()
  }
}

async function purgeFolder(
  cache: Config['cache'],
  target: PurgeTarget,
  isDryRun: boolean,
  clock: Clock,
): Promise<CachePurge> {
  const isNamed = (name: string): boolean => isPurged(target, name)
  // The journal and the registries say which sources were theirs, and go last: a purge that broke off finds them again.
  const journal = join(cache.dir, JOURNAL_FOLDER)
  const registry = join(cache.dir, REGISTRY_FOLDER)
  const isAbout = (text: string): boolean => mentions(target, text)
  const { keys } = await purgeJournal(journal, isAbout, true)
  const known = await purgeSnapshots(registry, isNamed, true)
  const fromKeys = keys.filter((key) => isPurgedKey(target, key)).flatMap((key) => parseModelKey(key)?.sourceId ?? [])
  const sourceIds = new Set([...known.sourceIds, ...fromKeys])
  const artifacts = await purgeArtifacts(cache.dir, { isNamed, sourceIds, isDryRun })
  const staging = new Staging({
    dir: join(cache.dir, STAGING_FOLDER),
    budgetBytes: cache.stagingBytes,
    minFreeBytes: cache.minFreeDiskBytes,
    clock,
    onEvent: () => undefined,
  })
  const staged = await staging.purge(
    ({ key = '', sourceId }) => isPurgedKey(target, key) || sourceIds.has(sourceId),
    isDryRun,
  )
  const quarantined = await purgeQuarantine(cache.dir, target, isDryRun)
  const { models: remembered } = await purgeSnapshots(registry, isNamed, isDryRun)
  const { records } = await purgeJournal(journal, isAbout, isDryRun)
  return { ...artifacts, staged, remembered, quarantined, journal: records }
}

async function purgeQuarantine(cache: string, target: PurgeTarget, isDryRun: boolean): Promise<number> {
  const folder = new QuarantineFolder({ cache, onUnreadable: () => undefined })
  const theirs = (await folder.read()).filter(({ model }) => isPurged(target, model))
  if (!isDryRun) for (const { key } of theirs) await folder.remove(key)
  return theirs.length
}
