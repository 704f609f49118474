/**
 * MLflow's model registry over its REST API, as far as it is used here. Every call takes a signal and ends with an MlflowError or the
 * signal's reason. Names and URIs that it answers with are text that anybody with write access may have set.
 */
import type { z } from 'zod'
import type { MlflowModel, MlflowRun, MlflowVersion } from './mlflow-answers.ts'
import {
  anyAnswer,
  experimentAnswer,
  modelAnswer,
  modelsAnswer,
  newExperimentAnswer,
  runAnswer,
  uriAnswer,
  versionAnswer,
  versionsAnswer,
} from './mlflow-answers.ts'
import { MlflowError } from './mlflow-error.ts'
import type { Call, MlflowHttp } from './mlflow-http.ts'

export interface PageRequest {
  /** A `next` of the page before. */
  readonly pageToken?: string | undefined
  readonly limit: number
}

export interface ModelsPage {
  readonly models: readonly MlflowModel[]
  /** Continues the list; undefined at its end. */
  readonly next: string | undefined
}

export interface VersionsPage {
  readonly versions: readonly MlflowVersion[]
  readonly next: string | undefined
}

export interface NewVersion {
  readonly name: string
  /** Where its files lie. */
  readonly source: string
  readonly runId?: string | undefined
  readonly tags?: ReadonlyMap<string, string> | undefined
}

export class Mlflow {
  readonly #http: MlflowHttp

  constructor(http: MlflowHttp) {
    this.#http = http
  }

  /** @param page `limit` at most 1,000 */
  searchModels({ pageToken, limit }: PageRequest, signal?: AbortSignal): Promise<ModelsPage> {
    const query = { max_results: `${limit}`, page_token: pageToken }
    return this.#ask(modelsAnswer, { method: 'GET', path: 'registered-models/search', query }, signal)
  }

  /** @param page `filter` as MLflow reads it: `name='m'`; none for all versions of all models */
  searchVersions(
    { filter, pageToken, limit }: PageRequest & { readonly filter?: string | undefined },
    signal?: AbortSignal,
  ): Promise<VersionsPage> {
    const query = { filter, max_results: `${limit}`, page_token: pageToken }
    return this.#ask(versionsAnswer, { method: 'GET', path: 'model-versions/search', query }, signal)
  }

  model(name: string, signal?: AbortSignal): Promise<MlflowModel> {
    return this.#ask(modelAnswer, { method: 'GET', path: 'registered-models/get', query: { name } }, signal)
  }

  async version(name: string, version: string, signal?: AbortSignal): Promise<MlflowVersion> {
    checkNumber(version)
    return await this.#ask(
      versionAnswer,
      { method: 'GET', path: 'model-versions/get', query: { name, version } },
      signal,
    )
  }

  async byAlias(name: string, alias: string, signal?: AbortSignal): Promise<MlflowVersion> {
    const call: Call = { method: 'GET', path: 'registered-models/alias', query: { name, alias } }
    try {
      return await this.#ask(versionAnswer, call, signal)
    } catch (error) {
      // MLflow answers 400 for an alias that is not there.
      if (error instanceof MlflowError && error.word === 'INVALID_PARAMETER_VALUE')
        throw new MlflowError('not-found', error.message)
      throw error
    }
  }

  /** Where the files of a version lie: hostile text, see `artifactPlaceOf`. */
  async downloadUri(name: string, version: string, signal?: AbortSignal): Promise<string> {
    checkNumber(version)
    const call: Call = { method: 'GET', path: 'model-versions/get-download-uri', query: { name, version } }
    return await this.#ask(uriAnswer, call, signal)
  }

  /** @throws MlflowError `conflict` when there is one of that name */
  createModel(name: string, signal?: AbortSignal): Promise<MlflowModel> {
    return this.#ask(modelAnswer, { method: 'POST', path: 'registered-models/create', body: { name } }, signal)
  }

  createVersion({ name, source, runId, tags }: NewVersion, signal?: AbortSignal): Promise<MlflowVersion> {
    const list = [...(tags ?? [])].map(([key, value]) => ({ key, value }))
    const body = { name, source, run_id: runId, tags: list }
    return this.#ask(versionAnswer, { method: 'POST', path: 'model-versions/create', body }, signal)
  }

  /** The id of an experiment; undefined where there is none of that name. */
  async experiment(name: string, signal?: AbortSignal): Promise<string | undefined> {
    const call: Call = { method: 'GET', path: 'experiments/get-by-name', query: { experiment_name: name } }
    try {
      return await this.#ask(experimentAnswer, call, signal)
    } catch (error) {
      if (error instanceof MlflowError && error.kind === 'not-found') return undefined
      throw error
    }
  }

  /** @throws MlflowError `conflict` when there is one of that name, deleted ones included */
  createExperiment(name: string, signal?: AbortSignal): Promise<string> {
    return this.#ask(newExperimentAnswer, { method: 'POST', path: 'experiments/create', body: { name } }, signal)
  }

  /** A run owns a place for files, and a version's `source` has to lie in the place of its run. Milliseconds since 1970. */
  createRun(
    { experimentId, name, startMs }: { readonly experimentId: string; readonly name: string; readonly startMs: number },
    signal?: AbortSignal,
  ): Promise<MlflowRun> {
    const body = { experiment_id: experimentId, run_name: name, start_time: Math.round(startMs) }
    return this.#ask(runAnswer, { method: 'POST', path: 'runs/create', body }, signal)
  }

  endRun(
    {
      runId,
      status,
      endMs,
    }: { readonly runId: string; readonly status: 'FINISHED' | 'FAILED'; readonly endMs: number },
    signal?: AbortSignal,
  ): Promise<void> {
    const body = { run_id: runId, status, end_time: Math.round(endMs) }
    return this.#tell({ method: 'POST', path: 'runs/update', body }, signal)
  }

  /** Sets an alias, or moves it. */
  setAlias(name: string, alias: string, version: string, signal?: AbortSignal): Promise<void> {
    return this.#tell({ method: 'POST', path: 'registered-models/alias', body: { name, alias, version } }, signal)
  }

  setVersionTag(name: string, version: string, key: string, value: string, signal?: AbortSignal): Promise<void> {
    return this.#tell({ method: 'POST', path: 'model-versions/set-tag', body: { name, version, key, value } }, signal)
  }

  deleteAlias(name: string, alias: string, signal?: AbortSignal): Promise<void> {
    return this.#tell({ method: 'DELETE', path: 'registered-models/alias', body: { name, alias } }, signal)
  }

  deleteVersion(name: string, version: string, signal?: AbortSignal): Promise<void> {
    return this.#tell({ method: 'DELETE', path: 'model-versions/delete', body: { name, version } }, signal)
  }

  /** With all its versions. */
  deleteModel(name: string, signal?: AbortSignal): Promise<void> {
    return this.#tell({ method: 'DELETE', path: 'registered-models/delete', body: { name } }, signal)
  }

  async #ask<T>(answer: z.ZodType<T>, call: Call, signal: AbortSignal | undefined): Promise<T> {
    const parsed = answer.safeParse(await this.#http.json({ ...call, path: `mlflow/${call.path}` }, signal))
    if (parsed.success) return parsed.data
    const where = parsed.error.issues[0]?.path.join('.') ?? ''
    throw new MlflowError(
      'refused',
      `MLflow's answer to ${call.path} is not as it should be${where === '' ? '' : ` at ${where}`}`,
    )
  }

  #tell(call: Call, signal: AbortSignal | undefined): Promise<void> {
    return this.#ask(anyAnswer, call, signal)
  }
}

/** A version is a number: MLflow calls anything else a bad request. */
function checkNumber(version: string): void {
  if (!/^\d{1,19}$/.test(version)) throw new MlflowError('not-found', 'versions in MLflow are numbers')
}
