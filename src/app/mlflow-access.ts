/** What the registry of models and the store want of MLflow, said in their words. */
import type { Mlflow } from '../clients/mlflow.ts'
import type { MlflowArtifacts } from '../clients/mlflow-artifacts.ts'
import { MlflowError, type MlflowErrorKind } from '../clients/mlflow-error.ts'
import { MLFLOW_LIMITS } from '../clients/mlflow-http.ts'
import type { SignedReads } from '../clients/signed-reads.ts'
import { proxyPathOf } from '../domain/artifact-place.ts'
import { nameFilter } from '../domain/mlflow-filter.ts'
import type { MlflowReads } from '../registry/mlflow-listing.ts'
import { type ObjectReader, ReadFailure, type ReadFailureKind } from '../store/object-reader.ts'

const FAILURES: Readonly<Record<MlflowErrorKind, ReadFailureKind>> = {
  'not-found': 'missing',
  // A server without the proxy has the file as little as one without the file.
  'no-endpoint': 'missing',
  forbidden: 'denied',
  refused: 'denied',
  // Another file is there than the one that was listed.
  conflict: 'replaced',
  'slow-down': 'slow-down',
  unavailable: 'unavailable',
}

/** Reads files at `proxyLocation`s: from where they lie when the server hands out addresses for that, else through its proxy. */
export function mlflowReader(artifacts: MlflowArtifacts, signedReads: SignedReads): ObjectReader {
  return {
    // Not from the proxy, and what a signed address leads to is not pinned by an ETag.
    ranges: false,
    answerMs: () => MLFLOW_LIMITS.streamAnswerMs,
    async read({ location, bytes }, from, to, signal) {
      const path = proxyPathOf(location)
      if (path === undefined || from !== 0 || to !== bytes)
        throw new ReadFailure('denied', 'MLflow has no such range of a file')
      try {
        return asFailures((await direct(path, bytes, signal)) ?? (await artifacts.read(path, bytes, signal)))
      } catch (error) {
        throw asFailure(error)
      }
    },
  }

  async function direct(path: string, bytes: number, signal: AbortSignal) {
    const address = await artifacts.signed(path, signal)
    if (address === undefined) return undefined
    try {
      return await signedReads.read(address, { from: 0, to: bytes, bytes }, signal)
    } catch (error) {
      // Not what the store lets this machine have: the proxy has credentials of its own.
      if (error instanceof MlflowError && (error.kind === 'forbidden' || error.kind === 'refused')) return undefined
      throw error
    }
  }
}

/** MLflow's names have no slashes; here they may be those under a prefix, `acme/churn` for MLflow's `churn`. */
export class MlflowNames {
  readonly #before: string

  /** @param prefix '' for none */
  constructor(prefix: string) {
    this.#before = prefix === '' ? '' : `${prefix}/`
  }

  ours(name: string): string {
    return `${this.#before}${name}`
  }

  /** Undefined for a name that cannot be MLflow's. */
  theirs(name: string): string | undefined {
    return name.startsWith(this.#before) ? name.slice(this.#before.length) : undefined
  }
}

/** As the registry of models asks. */
export function mlflowReads(mlflow: Mlflow, names: MlflowNames): MlflowReads {
  const renamed = <T extends { readonly name: string }>(one: T): T => ({ ...one, name: names.ours(one.name) })
  return {
    async models(page, signal) {
      const { models, next } = await mlflow.searchModels(page, signal)
      return { items: models.map(renamed), next }
    },
    async versions({ name, ...page }, signal) {
      const filter = name === undefined ? undefined : nameFilter(names.theirs(name) ?? name)
      const { versions, next } = await mlflow.searchVersions({ ...page, filter }, signal)
      return { items: versions.map(renamed), next }
    },
    async model(name, signal) {
      const theirs = names.theirs(name)
      if (theirs === undefined) return undefined
      try {
        return renamed(await mlflow.model(theirs, signal))
      } catch (error) {
        if (error instanceof MlflowError && error.kind === 'not-found') return undefined
        throw error
      }
    },
  }
}

/** The call's result, or its failure as one of a store. */
export async function asMlflowFailure<T>(call: Promise<T>): Promise<T> {
  try {
    return await call
  } catch (error) {
    throw asFailure(error)
  }
}

async function* asFailures(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* chunks
  } catch (error) {
    throw asFailure(error)
  }
}

function asFailure(error: unknown): unknown {
  if (!(error instanceof MlflowError)) return error
  const { retryAfterMs } = error
  return new ReadFailure(FAILURES[error.kind], error.message, retryAfterMs === undefined ? {} : { retryAfterMs })
}
