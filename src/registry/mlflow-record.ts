/** From what MLflow lists of one model to what is known of it. Pure: the same list gives the same record. */
import { hash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { digestsIn, SETTINGS_TAG } from '../domain/mlflow-tags.ts'
import { aliasProblem, isVersion, printable } from '../domain/model-ref.ts'
import type { ModelSettings } from '../domain/model-version.ts'
import { MODEL_FILES } from '../domain/source-identity.ts'
import { compareVersions } from '../domain/version-order.ts'
import type { ListedModel, ListedVersion } from './mlflow-listing.ts'
import { composeReport } from './model-report.ts'
import { settingsText } from './model-settings.ts'
import type { RemoteRecord } from './remote-model.ts'
import type { VersionFacts } from './scan-messages.ts'

/** What the files of a version say of how it is to be run. Its owner's settings outweigh it. */
export type SaidSettings = Partial<Pick<ModelSettings, 'intraOpThreads' | 'warmUp'>>

/** What is known of the files of a version without asking where they lie. */
export interface MlflowFiles {
  /** SHA-256 by path, of those files that have a tag with it. */
  readonly digests: ReadonlyArray<readonly [path: string, sha256: string]>
  /** Once they were read. */
  readonly said?: SaidSettings
}

export type MlflowRecord = RemoteRecord<MlflowFiles>

/** A version of a list, as far as it matters. */
export interface FoundVersion {
  readonly version: string
  readonly sourceId: string
  readonly digests: MlflowFiles['digests']
}

export interface RecordTerms {
  /** The alias whose version is served by default; null = the latest version. */
  readonly defaultAlias: string | null
  readonly defaults: ModelSettings
  /** Was what is known of this model worked out with these terms? An earlier life may have had others. */
  readonly isOurs: (name: string) => boolean
  /** What is wrong with one thing of the model; undefined = nothing any more. */
  readonly tell: (path: string, problem: string | undefined) => void
}

const ID_DIGITS = 24
const [MODEL_FILE] = MODEL_FILES

/**
 * Undefined for a version that cannot be served: not READY (yet), or with a number that is none. MLflow's versions do not change, but one
 * may be deleted with its model and made anew under the same number; `origin` tells two servers apart.
 */
export function foundVersion(
  { name, version, status, tags, createdMs, runId }: ListedVersion,
  origin: string,
): FoundVersion | undefined {
  if (status !== 'READY' || !isVersion(version)) return undefined
  const digests = digestsIn(tags)
  const identity = JSON.stringify([origin, name, version, createdMs, runId ?? '', digests])
  return { version, sourceId: hash('sha256', identity, 'hex').slice(0, ID_DIGITS), digests }
}

/** The same record as before when nothing is another. */
export function mlflowRecord(
  { name, aliases: listed, tags }: ListedModel,
  found: readonly FoundVersion[],
  before: MlflowRecord | undefined,
  terms: RecordTerms,
): MlflowRecord {
  const versions = found.toSorted((a, b) => compareVersions(a.version, b.version))
  const aliases = aliasesOf(name, listed, versions, before, terms)
  const settings = settingsOf(name, tags.get(SETTINGS_TAG), before, terms)
  const known = new Map(before?.report.versions.map((facts) => [facts.sourceId, facts]))
  const files = new Map(before?.files)
  const isSettled = terms.isOurs(name) && settings?.value === before?.report.settings
  const made = versions.map(({ version, sourceId, digests }) => {
    const facts = known.get(sourceId)
    const said = facts === undefined ? undefined : files.get(version)?.said
    const own = isSettled && facts !== undefined ? facts.settings : saidText(settings?.value, said, terms.defaults)
    return {
      facts: newFacts(version, sourceId, own),
      files: said === undefined ? { digests } : { digests, said },
    }
  })
  const served = aliases.find(([alias]) => alias === terms.defaultAlias)?.[1]
  const report = composeReport(
    name,
    made.map(({ facts }) => [facts.version, facts]),
    aliases,
    settings,
  )
  const record: MlflowRecord = {
    report: served === undefined ? report : { ...report, served },
    files: made.map(({ facts, files: one }) => [facts.version, one]),
  }
  return before !== undefined && isDeepStrictEqual(record, before) ? before : record
}

/** The record once the files of a version were read; the same one when it does not have that version, or knew. */
export function withSaid(
  record: MlflowRecord,
  sourceId: string,
  said: SaidSettings,
  defaults: ModelSettings,
): MlflowRecord {
  const { report, files } = record
  const facts = report.versions.find((one) => one.sourceId === sourceId)
  if (facts === undefined || isDeepStrictEqual(files.find(([one]) => one === facts.version)?.[1].said ?? {}, said))
    return record
  const { version } = facts
  const changed = newFacts(version, sourceId, saidText(report.settings, said, defaults))
  return {
    report: { ...report, versions: report.versions.map((one) => (one === facts ? changed : one)) },
    files: files.map(([one, its]) => (one === version ? [one, { digests: its.digests, said }] : [one, its])),
  }
}

function newFacts(version: string, sourceId: string, settings: string | undefined): VersionFacts {
  // Sizes and the name of the model file are known once its folder was asked for.
  const facts = { version, sourceId, modelFile: MODEL_FILE, bytes: 0 }
  return settings === undefined ? facts : { ...facts, settings }
}

/** Settings of a version, where its files say more than its owner did. */
function saidText(
  settings: string | undefined,
  said: SaidSettings | undefined,
  defaults: ModelSettings,
): string | undefined {
  if (said === undefined) return undefined
  const model = settings === undefined || settings === '' ? defaults : (JSON.parse(settings) as ModelSettings)
  const merged: ModelSettings = {
    ...model,
    intraOpThreads:
      model.intraOpThreads === defaults.intraOpThreads
        ? (said.intraOpThreads ?? model.intraOpThreads)
        : model.intraOpThreads,
    warmUp: model.warmUp.length > 0 ? model.warmUp : (said.warmUp ?? model.warmUp),
  }
  return isDeepStrictEqual(merged, model) ? undefined : JSON.stringify(merged)
}

/**
 * An alias to a version that is not there stays where it was, as long as that version is: it was moved before its version was ready, or
 * the version was removed. One that never named a version that is there is shown as it is.
 */
function aliasesOf(
  name: string,
  listed: ListedModel['aliases'],
  versions: readonly FoundVersion[],
  before: MlflowRecord | undefined,
  { tell }: RecordTerms,
): Array<readonly [string, string]> {
  const isThere = (version: string) => versions.some((one) => one.version === version)
  const kept = new Map(before?.report.aliases)
  return listed.flatMap(([alias, version]): Array<readonly [string, string]> => {
    const path = `${name}/@${printable(alias)}`
    const problem = aliasProblem(alias)
    if (problem !== undefined) {
      tell(path, problem)
      return []
    }
    if (isThere(version)) {
      tell(path, undefined)
      return [[alias, version]]
    }
    const old = kept.get(alias)
    const stays = old !== undefined && isThere(old)
    tell(path, `it names version ${printable(version)}, which is not there${stays ? `; ${old} stays served` : ''}`)
    return [[alias, stays ? old : version]]
  })
}

function settingsOf(
  name: string,
  text: string | undefined,
  before: MlflowRecord | undefined,
  { defaults, tell }: RecordTerms,
): { readonly value: string | undefined; readonly problem: string | undefined } | undefined {
  const path = `${name}/${SETTINGS_TAG}`
  if (text === undefined) {
    tell(path, undefined)
    return undefined
  }
  try {
    const value = settingsText(text, defaults)
    tell(path, undefined)
    return { value: value === '' ? undefined : value, problem: undefined }
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error)
    tell(path, problem)
    // As long as they are wrong, the last ones that were right hold.
    const hasServed = before !== undefined && before.report.problem === undefined
    return { value: hasServed ? before.report.settings : undefined, problem: hasServed ? undefined : problem }
  }
}
