/** What a purge removed, in words or as one line of JSON. */
import type { PurgeTarget, Removed } from '../domain/purge.ts'
import { formatByteSize } from '../lib/byte-size.ts'
import { visible } from './text.ts'

export interface PurgedHere {
  readonly artifacts: Removed
  readonly blobs: Removed
  readonly staged: Removed
  readonly sources: number
  readonly kept: number
  readonly remembered: readonly string[]
  readonly quarantined: number
  readonly journal: number
}

export interface PurgedFleet {
  readonly artifacts: number
  readonly objects: Removed
  readonly blobs: Removed
}

export interface PurgedStore {
  readonly models: readonly string[]
  readonly objects: Removed
  readonly blobs: Removed
}

interface ReportTerms {
  readonly target: PurgeTarget
  readonly isDryRun: boolean
  readonly isJson: boolean
}

const SHOWN_NAMES = 20

/** `fleet`: where machines share what they compiled; `store`: where models were published. Undefined: nothing was to go from there. */
export function purgeReport(
  { target, isDryRun, isJson }: ReportTerms,
  here: PurgedHere,
  { fleet, store }: { readonly fleet?: PurgedFleet; readonly store?: PurgedStore },
): string {
  const { name, isTenant } = target
  if (isJson) {
    const { artifacts, blobs, staged, sources, kept, remembered, quarantined, journal } = here
    const cache = { artifacts, blobs, staged, sources, kept, remembered, quarantined, journal }
    return `${JSON.stringify({ name, isTenant, isDryRun, cache, fleet: fleet ?? null, store: store ?? null })}\n`
  }
  const lines = [
    ...counted(here.artifacts, 'compiled artifact'),
    ...counted(here.blobs, 'tensor file that nothing else refers to', 'tensor files that nothing else refers to'),
    ...counted(here.staged, 'fetched source'),
    ...some(here.sources, 'remembered digest of a source', 'remembered digests of sources'),
    ...named(here.remembered, 'remembered by the registry'),
    ...some(here.quarantined, 'quarantine record'),
    ...some(here.journal, 'line of the journal', 'lines of the journal'),
    ...(fleet === undefined ? [] : fleetLines(fleet)),
    ...(store === undefined ? [] : storeLines(store)),
  ]
  const whom = isTenant ? `${name} and ${name}/*` : name
  const stays = here.kept === 0 ? [] : [`${here.kept} compiled artifacts stay: other models have the same bytes`]
  const head = isDryRun ? `would remove of ${whom}` : `removed of ${whom}`
  const all = lines.length === 0 ? [`nothing is kept of ${whom}`] : [`${head}:`, ...lines.map((line) => `  ${line}`)]
  return `${[...all, ...stays].map(visible).join('\n')}\n`
}

function fleetLines({ objects, blobs }: PurgedFleet): string[] {
  return [
    ...counted(
      objects,
      'object of compiled artifacts in the fleet cache',
      'objects of compiled artifacts in the fleet cache',
    ),
    ...counted(blobs, 'tensor in the fleet cache', 'tensors in the fleet cache'),
  ]
}

function storeLines({ models, objects, blobs }: PurgedStore): string[] {
  return [
    ...named(models, 'published'),
    ...counted(objects, 'object in S3', 'objects in S3'),
    ...counted(
      blobs,
      'shared tensor in S3 that no other version has',
      'shared tensors in S3 that no other version has',
    ),
  ]
}

function some(count: number, one: string, many = `${one}s`): string[] {
  return count === 0 ? [] : [`${count} ${count === 1 ? one : many}`]
}

function counted({ count, bytes }: Removed, one: string, many = `${one}s`): string[] {
  return some(count, one, many).map((line) => `${line}, ${formatByteSize(bytes)}`)
}

function named(names: readonly string[], what: string): string[] {
  if (names.length === 0) return []
  const more = names.length > SHOWN_NAMES ? ` and ${names.length - SHOWN_NAMES} more` : ''
  return [`${what}: ${names.slice(0, SHOWN_NAMES).join(', ')}${more}`]
}
