/** `modelmux purge`: what is kept of a model goes, here and, where that is asked for, where it was published. */
import { FolderInUseError, FolderReadOnlyError } from '../artifact/folder-lock.ts'
import { PURGE_HELP, type PurgeFlags, parsePurgeFlags } from '../cli/purge-flags.ts'
import { purgeReport } from '../cli/purge-report.ts'
import { UsageError } from '../cli/usage-error.ts'
import { ConfigError } from '../config/config-error.ts'
import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { printable } from '../domain/model-ref.ts'
import { NameRoutes } from '../domain/name-routes.ts'
import type { PurgeTarget } from '../domain/purge.ts'
import { isS3Uri, parseS3Folder, type S3Folder } from '../domain/s3-uri.ts'
import type { Clock } from '../lib/clock.ts'
import { systemClock } from '../lib/clock.ts'
import { CacheInUseError, purgeCache } from './purge-cache.ts'
import type { FleetPurge } from './purge-fleet.ts'
import type { StorePurge } from './purge-store.ts'

const FAILED = 1
const BAD_USAGE = 2
const IN_USE = 3
const LIMITS = { attempts: 5, connectTimeoutMs: 10_000, answerTimeoutMs: 60_000, maxConnections: 16 }

/** @returns the exit code: 0 removed, 1 it failed, 2 bad usage, 3 a server is using the cache folder */
export async function purgeCommand(args: readonly string[], interrupt: AbortSignal): Promise<number> {
  try {
    const flags = parsePurgeFlags(args)
    process.stdout.write(flags.printsHelp ? PURGE_HELP : await purge(flags, interrupt, systemClock))
    return 0
  } catch (error) {
    const { code, message } = outcomeOf(error, interrupt)
    process.stderr.write(`modelmux: ${message}\n`)
    return code
  }
}

async function purge(flags: PurgeFlags, signal: AbortSignal, clock: Clock): Promise<string> {
  const { target, isDryRun, isJson, purgesStore, fields, configFile } = flags
  const file = configFile === undefined ? {} : { configFile }
  const config = loadConfig({ flags: { fields, ...file }, folders: 'ignore' })
  const roots = purgesStore ? rootsOf(config, target) : []
  // What the cache folder knows of the models is needed elsewhere: it goes last, so that a purge that broke off can be repeated.
  const planned = await purgeCache(config, target, { isDryRun: true, clock })
  const there = await purgeThere(config, roots, planned.digests, flags, signal, clock)
  const cache = isDryRun ? planned : await purgeCache(config, target, { isDryRun, clock })
  return purgeReport({ target, isDryRun, isJson }, cache, there)
}

/** The places that the names are served from. @throws UsageError where one of them is not in S3 */
function rootsOf({ store }: Config, { name, isTenant }: PurgeTarget): S3Folder[] {
  const places = [{ prefix: '', models: store.models }, ...store.sources]
  const route = new NameRoutes(places).of(name)
  const theirs = places.filter((place) => place === route || (isTenant && place.prefix.startsWith(`${name}/`)))
  return theirs.map(({ models }) => {
    if (!isS3Uri(models))
      throw new UsageError(`--store removes from S3, and ${name} is served from ${models}; remove it there by hand`)
    return parseS3Folder(models)
  })
}

/** In S3: where machines share what they compiled, and where models were published. */
async function purgeThere(
  { artifact, store }: Config,
  roots: readonly S3Folder[],
  digests: readonly string[],
  { target, isDryRun, purgesStore }: PurgeFlags,
  signal: AbortSignal,
  clock: Clock,
): Promise<{ readonly fleet?: FleetPurge; readonly store?: StorePurge }> {
  const { place, mode } = artifact.fleetCache
  const fleet = place === null || mode !== 'readwrite' ? undefined : parseS3Folder(place)
  if (fleet === undefined && !purgesStore) return {}
  const [{ S3 }, { S3Eraser }, { mergePurges, purgeStore }, { purgeFleet }] = await Promise.all([
    import('../clients/s3.ts'),
    import('../clients/s3-eraser.ts'),
    import('./purge-store.ts'),
    import('./purge-fleet.ts'),
  ])
  const { endpoint, region, pathStyle } = store.s3
  const options = { endpoint, region, pathStyle, clock, ...LIMITS }
  const hands = { s3: new S3(options), eraser: new S3Eraser(options) }
  try {
    const shared = fleet === undefined ? {} : { fleet: await purgeFleet(hands, fleet, digests, isDryRun, signal) }
    if (!purgesStore) return shared
    const done: StorePurge[] = []
    for (const root of roots) done.push(await purgeStore(hands, root, target, isDryRun, signal))
    return { ...shared, store: mergePurges(done) }
  } finally {
    hands.s3.close()
    hands.eraser.close()
  }
}

/** @throws the error when it is about this program */
function outcomeOf(error: unknown, interrupt: AbortSignal): { readonly code: number; readonly message: string } {
  if (error instanceof UsageError || error instanceof ConfigError) return { code: BAD_USAGE, message: error.message }
  if (error instanceof CacheInUseError || error instanceof FolderInUseError)
    return { code: IN_USE, message: error.message }
  if (interrupt.aborted) return { code: FAILED, message: 'interrupted; what is left is removed by the next purge' }
  const isExpected = error instanceof FolderReadOnlyError || (error instanceof Error && error.name === 'S3Error')
  if (isExpected || (error instanceof Error && 'syscall' in error))
    return { code: FAILED, message: printable(error.message) }
  throw error
}
