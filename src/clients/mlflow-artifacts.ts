/**
 * Files behind MLflow's artifact proxy: lists of whole folders, whole files, signed addresses where the server hands them out. The
 * proxy copies a file to itself before it sends the first byte, and knows neither ranges nor ETags nor checksums. Names that it lists
 * are hostile until they are checked, which they are here.
 */
import type { Readable } from 'node:stream'
import { z } from 'zod'
import type { ArtifactRules } from '../domain/artifact-place.ts'
import { isAllowedUrl, segmentProblem } from '../domain/artifact-place.ts'
import { SOURCE_BOUNDS } from '../domain/source-identity.ts'
import type { Clock } from '../lib/clock.ts'
import { MlflowError } from './mlflow-error.ts'
import type { MlflowHttp } from './mlflow-http.ts'
import type { SignedAddress } from './signed-reads.ts'

export interface ArtifactFile {
  /** Relative to the folder that was listed, with forward slashes. */
  readonly path: string
  readonly bytes: number
}

interface Folder {
  readonly path: string
  readonly depth: number
}

const API = 'mlflow-artifacts'
/** A call each; models that MLflow logs have one to four. */
const MAX_FOLDERS = 200
/** How long a server that hands out no signed addresses, or useless ones, is not asked again. */
const UNSIGNED_MS = 600_000
const MAX_HEADERS = 16
/** What stores want beside an address they signed. Nothing that frames a message or names a host. */
const SIGNED_HEADER = /^(x-amz|x-ms|x-goog)-[a-z0-9-]{1,64}$/

const entry = z.object({
  path: z.string(),
  is_dir: z.boolean().nullish(),
  // Not there for an empty file.
  file_size: z.union([z.number().int().nonnegative(), z.string().regex(/^\d{1,15}$/)]).nullish(),
})
const listing = z.object({ files: z.array(entry).nullish() })
const signed = z.object({ url: z.string(), headers: z.record(z.string(), z.string()).nullish() })

export class MlflowArtifacts {
  readonly #http: MlflowHttp
  readonly #rules: ArtifactRules
  readonly #clock: Clock
  /** Monotonic; until then no signed addresses are asked for. */
  #unsignedUntil = -Infinity

  constructor(http: MlflowHttp, rules: ArtifactRules, clock: Clock) {
    this.#http = http
    this.#rules = rules
    this.#clock = clock
  }

  /**
   * Every file below a folder; none where there is no such folder.
   * @throws MlflowError `refused` for names that cannot be files of a model, and for more than a model can have
   */
  async list(folder: string, signal?: AbortSignal): Promise<readonly ArtifactFile[]> {
    const files: ArtifactFile[] = []
    const open: Folder[] = [{ path: '', depth: 0 }]
    let folders = 0
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      if (++folders > MAX_FOLDERS) throw refused(`there are more than ${MAX_FOLDERS} folders`)
      for (const { path: name, is_dir: isFolder, file_size: size } of await this.#entries(folder, at, signal)) {
        const problem = segmentProblem(name)
        if (problem !== undefined) throw refused(`a name in it is refused: ${problem}`)
        const path = at.path === '' ? name : `${at.path}/${name}`
        if (isFolder !== true) files.push({ path, bytes: Number(size ?? 0) })
        else if (at.depth < SOURCE_BOUNDS.maxDepth) open.push({ path, depth: at.depth + 1 })
        else throw refused(`it is deeper than ${SOURCE_BOUNDS.maxDepth} folders`)
        if (files.length + open.length > SOURCE_BOUNDS.maxFiles)
          throw refused(`there are more than ${SOURCE_BOUNDS.maxFiles} files`)
      }
    }
    return files
  }

  /**
   * The bytes of a file that has `bytes` of them, from its first to its last. The first may take as long as the proxy's own copy.
   * @throws MlflowError `conflict` when the server says that the file has another size, `unavailable` when it sent another count
   */
  async read(path: string, bytes: number, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const stream = await this.#http.stream({ method: 'GET', path: `${API}/artifacts/${encoded(path)}` }, signal)
    if (stream.bytes === undefined || stream.bytes === bytes) return counted(stream.chunks, bytes)
    await stream.cancel()
    throw new MlflowError('conflict', `MLflow has a file of ${stream.bytes} bytes there, not one of ${bytes}`)
  }

  /** A fresh address for one read; undefined where the server gives none, or none that may be asked. @throws the signal's reason */
  async signed(path: string, signal?: AbortSignal): Promise<SignedAddress | undefined> {
    if (this.#clock.now() < this.#unsignedUntil) return undefined
    const answer = await this.#askSigned(path, signal)
    if (answer === 'failed') return undefined
    const address = answer === 'none' ? undefined : usable(answer, this.#rules)
    if (address === undefined) this.#unsignedUntil = this.#clock.now() + UNSIGNED_MS
    return address
  }

  /** Writes a file; an existing one is replaced. `body` has `bytes` bytes and is read once. */
  async write(path: string, body: Readable | Uint8Array, bytes: number, signal?: AbortSignal): Promise<void> {
    await this.#http.send({ method: 'PUT', path: `${API}/artifacts/${encoded(path)}` }, body, bytes, signal)
  }

  async #entries(folder: string, { path }: Folder, signal: AbortSignal | undefined) {
    const query = { path: path === '' ? folder : `${folder}/${path}` }
    const answer = listing.safeParse(await this.#http.json({ method: 'GET', path: `${API}/artifacts`, query }, signal))
    if (!answer.success) throw refused('its list is not as it should be')
    return answer.data.files ?? []
  }

  /** What the server answers; `none` where it does not know the call, `failed` where the proxy may do better. */
  async #askSigned(path: string, signal: AbortSignal | undefined): Promise<unknown> {
    try {
      return await this.#http.json({ method: 'GET', path: `${API}/presigned/${encoded(path)}` }, signal)
    } catch (error) {
      if (!(error instanceof MlflowError)) throw error
      return error.kind === 'no-endpoint' ? 'none' : 'failed'
    }
  }
}

function usable(answer: unknown, rules: ArtifactRules): SignedAddress | undefined {
  const { data } = signed.safeParse(answer)
  if (data === undefined || !URL.canParse(data.url)) return undefined
  const url = new URL(data.url)
  const headers = Object.entries(data.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value] as const)
  const areFit = headers.length <= MAX_HEADERS && headers.every(([name]) => SIGNED_HEADER.test(name))
  return areFit && isAllowedUrl(url, rules) ? { url, headers: Object.fromEntries(headers) } : undefined
}

async function* counted(chunks: AsyncIterable<Uint8Array>, bytes: number): AsyncGenerator<Uint8Array> {
  let seen = 0
  for await (const chunk of chunks) {
    seen += chunk.length
    if (seen > bytes) throw new MlflowError('unavailable', `MLflow sent more than the ${bytes} bytes of the file`)
    yield chunk
  }
  // A body without a length may end early in good order.
  if (seen < bytes) throw new MlflowError('unavailable', `MLflow sent ${seen} of ${bytes} bytes`)
}

/** Each part by itself: slashes stay. */
function encoded(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/')
}

function refused(reason: string): MlflowError {
  return new MlflowError('refused', `the folder in MLflow cannot be a model: ${reason}`)
}
