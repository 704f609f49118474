/**
 * Stages versions of an MLflow registry: what lies on the disk then says which file is the model, how many threads it wants and what an
 * input looks like. It is read from there each time, so that a restart without MLflow knows as much as the process that fetched it.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { GatewayError } from '../domain/errors.ts'
import type { FetchProgress } from '../domain/fetch-progress.ts'
import { printable } from '../domain/model-ref.ts'
import type { ModelVersion } from '../domain/model-version.ts'
import { EXAMPLE_MAX_BYTES, parseExample } from '../registry/input-example.ts'
import type { SaidSettings } from '../registry/mlflow-record.ts'
import type { MlModel } from '../registry/mlmodel.ts'
import { MLMODEL_FILE, MlModelError, parseMlModel } from '../registry/mlmodel.ts'
import type { StagedSource, Store } from '../store/store.ts'
import type { EventSink } from './event-sink.ts'

export interface MlflowStoreParts {
  /** Brings the files. */
  readonly store: Store
  /** What an MLmodel may ask for at most. */
  readonly maxThreads: number
  /** The files of a version say this of how it is to be run. */
  readonly onSaid: (version: ModelVersion, said: SaidSettings) => void
  readonly onEvent: EventSink
}

export class MlflowStore implements Store {
  readonly #parts: MlflowStoreParts

  constructor(parts: MlflowStoreParts) {
    this.#parts = parts
  }

  async stage(version: ModelVersion, signal?: AbortSignal): Promise<StagedSource> {
    const staged = await this.#parts.store.stage(version, signal)
    try {
      if (!staged.files.some(({ path }) => path === MLMODEL_FILE)) return staged
      const model = await this.#modelIn(staged, version)
      // It may say something else than when it was read before the fetch, and what it names may be another version's file.
      if (!staged.files.some(({ path }) => path === model.modelFile))
        throw unusable(version, `it has no '${printable(model.modelFile)}'`)
      const example = await this.#exampleIn(staged, model.exampleFile, version)
      this.#parts.onSaid(version, {
        ...(model.intraOpThreads === undefined ? {} : { intraOpThreads: model.intraOpThreads }),
        ...(example === undefined ? {} : { warmUp: [example] }),
      })
      return { ...staged, modelFile: model.modelFile }
    } catch (error) {
      staged.release()
      throw error
    }
  }

  progressOf(key: string): FetchProgress | undefined {
    return this.#parts.store.progressOf(key)
  }

  async #modelIn({ dir }: StagedSource, version: ModelVersion): Promise<MlModel> {
    try {
      return parseMlModel(await readFile(join(dir, MLMODEL_FILE), 'utf8'), this.#parts.maxThreads)
    } catch (error) {
      if (!(error instanceof MlModelError)) throw error
      throw unusable(version, error.message, error)
    }
  }

  /** Undefined where there is none that can be used: no reason not to serve the model. */
  async #exampleIn({ dir, files }: StagedSource, path: string | undefined, { key }: ModelVersion): Promise<unknown> {
    // Only what was staged is opened: the path is the MLmodel's own.
    const file = files.find((one) => one.path === path)
    if (path === undefined || file === undefined) return undefined
    try {
      if (file.bytes > EXAMPLE_MAX_BYTES)
        throw new Error(`it has ${file.bytes} bytes, at most ${EXAMPLE_MAX_BYTES} are used`)
      return parseExample(await readFile(join(dir, path), 'utf8'))
    } catch (error) {
      const reason = error instanceof Error ? printable(error.message) : 'it cannot be read'
      this.#parts.onEvent('model.example-ignored', { key, reason })
      return undefined
    }
  }
}

function unusable({ name, version }: ModelVersion, reason: string, cause?: unknown): GatewayError {
  return new GatewayError(
    'ARTIFACT_INVALID',
    `version ${version} of '${name}' cannot be used: ${reason}`,
    { model: name, version },
    { cause },
  )
}
