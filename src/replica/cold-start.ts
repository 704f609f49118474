/** What is said of a model that is not resident yet: how far it is, and when to ask again. */
import { GatewayError } from '../domain/errors.ts'
import type { FetchProgress } from '../domain/fetch-progress.ts'
import type { ModelVersion } from '../domain/model-version.ts'
import { formatByteSize } from '../lib/byte-size.ts'

/** For a load whose end is not known: it waits, is compiled, or is read from the disk. */
const LOADING_RETRY_MS = 2_000
/** Behind the last byte comes the compile. */
const COMPILE_RETRY_MS = 1_000

/** MODEL_LOADING with how far the fetch is; `progress` is undefined for a load that fetches nothing just now. */
export function stillLoading({ name, version }: ModelVersion, progress: FetchProgress | undefined): GatewayError {
  const what = `version ${version} of '${name}' is being`
  if (progress === undefined)
    return new GatewayError('MODEL_LOADING', `${what} loaded; ask again`, { retryAfterMs: LOADING_RETRY_MS })
  const { etaMs } = progress
  return new GatewayError('MODEL_LOADING', `${what} fetched, ${progressText(progress)}; ask again`, {
    retryAfterMs: etaMs === undefined ? LOADING_RETRY_MS : etaMs + COMPILE_RETRY_MS,
    details: { ...progress },
  })
}

/** `12 MiB of 98 MiB at 40 MiB/s, 3 s left`. */
export function progressText({ bytesDone, bytes, bytesPerSecond, etaMs }: FetchProgress): string {
  const done = `${formatByteSize(bytesDone)} of ${formatByteSize(bytes)}`
  return etaMs === undefined
    ? done
    : `${done} at ${formatByteSize(bytesPerSecond)}/s, ${Math.ceil(etaMs / 1000)} s left`
}
