/** What MLflow's registry answers, as the fields that are used of it. Fields not named here pass over; int64 comes as number or text. */
import { z } from 'zod'

export type Tags = ReadonlyMap<string, string>

export interface MlflowModel {
  readonly name: string
  readonly aliases: readonly (readonly [alias: string, version: string])[]
  readonly tags: Tags
  /** Milliseconds since 1970 by the server's clock. */
  readonly lastUpdatedMs: number
}

export interface MlflowVersion {
  readonly name: string
  /** Digits. */
  readonly version: string
  /** `READY`, `PENDING_REGISTRATION`, `FAILED_REGISTRATION`, or what newer servers know. */
  readonly status: string
  readonly tags: Tags
  /** Milliseconds since 1970 by the server's clock. */
  readonly createdMs: number
  readonly lastUpdatedMs: number
  readonly runId: string | undefined
}

const int64 = z.union([z.number().int(), z.string().regex(/^-?\d{1,19}$/)])
const milliseconds = int64.nullish().transform((value) => Number(value ?? 0))
const versionText = int64.transform(String)
const optionalText = z
  .string()
  .nullish()
  .transform((value) => (value === null || value === '' ? undefined : value))
const tags = z
  .array(z.object({ key: z.string(), value: z.string().nullish() }))
  .nullish()
  .transform((list): Tags => new Map((list ?? []).map(({ key, value }) => [key, value ?? ''])))

const model = z
  .object({
    name: z.string().min(1),
    aliases: z.array(z.object({ alias: z.string(), version: versionText })).nullish(),
    tags,
    last_updated_timestamp: milliseconds,
  })
  .transform(
    ({ name, aliases, tags: own, last_updated_timestamp: lastUpdatedMs }): MlflowModel => ({
      name,
      aliases: (aliases ?? []).map(({ alias, version }) => [alias, version] as const),
      tags: own,
      lastUpdatedMs,
    }),
  )

const version = z
  .object({
    name: z.string().min(1),
    version: versionText,
    // Servers of before this field have only versions that are ready.
    status: z.string().nullish(),
    tags,
    creation_timestamp: milliseconds,
    last_updated_timestamp: milliseconds,
    run_id: optionalText,
  })
  .transform(
    ({
      name,
      version: number,
      status,
      tags: own,
      creation_timestamp: createdMs,
      last_updated_timestamp: lastUpdatedMs,
      run_id: runId,
    }): MlflowVersion => ({
      name,
      version: number,
      status: status ?? 'READY',
      tags: own,
      createdMs,
      lastUpdatedMs,
      runId,
    }),
  )

export interface MlflowRun {
  readonly runId: string
  /** Where files of the run are to be put: hostile text, see `artifactPlaceOf`. */
  readonly artifactUri: string
}

export const modelAnswer = z.object({ registered_model: model }).transform((answer) => answer.registered_model)
export const versionAnswer = z.object({ model_version: version }).transform((answer) => answer.model_version)
export const modelsAnswer = z
  .object({ registered_models: z.array(model).nullish(), next_page_token: optionalText })
  .transform(({ registered_models: models, next_page_token: next }) => ({ models: models ?? [], next }))
export const versionsAnswer = z
  .object({ model_versions: z.array(version).nullish(), next_page_token: optionalText })
  .transform(({ model_versions: versions, next_page_token: next }) => ({ versions: versions ?? [], next }))
export const uriAnswer = z.object({ artifact_uri: z.string().min(1) }).transform((answer) => answer.artifact_uri)
export const anyAnswer = z.unknown().transform(() => undefined)
export const experimentAnswer = z
  .object({ experiment: z.object({ experiment_id: int64.transform(String) }) })
  .transform((answer) => answer.experiment.experiment_id)
export const newExperimentAnswer = z
  .object({ experiment_id: int64.transform(String) })
  .transform((answer) => answer.experiment_id)
export const runAnswer = z
  .object({ run: z.object({ info: z.object({ run_id: z.string().min(1), artifact_uri: z.string().min(1) }) }) })
  .transform(({ run: { info } }): MlflowRun => ({ runId: info.run_id, artifactUri: info.artifact_uri }))
