/**
 * A version taken apart into what is its own and what it may share: its big tensors, each by itself, and its other big files. What is its
 * own is the graph, small files, and the manifest that puts the rest in its place.
 */
import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { GatewayError } from '../domain/errors.ts'
import { MIN_SHARED_BYTES, renderSharedFiles, SHARED_FILES } from '../domain/shared-blobs.ts'
import { MODEL_FILES } from '../domain/source-identity.ts'
import type { SplitModelFile } from '../domain/split-model.ts'
import type { LocalFile, TellProgress } from './local-version.ts'
import { digestFiles, listVersion, NotPublishableError, stepMeter, sumBytes } from './local-version.ts'

export interface SplitTerms {
  readonly split: SplitModelFile
  readonly maxNodes: number
  readonly extraDomains: readonly string[]
}

export interface SharedVersion {
  readonly files: readonly LocalFile[]
  /** Each content once; their paths are the version's. */
  readonly blobs: readonly LocalFile[]
}

const [MODEL_FILE] = MODEL_FILES

/** `workDir`: an empty folder, in which what is returned may lie. @throws NotPublishableError, the signal's reason */
export async function shareVersion(
  dir: string,
  workDir: string,
  { split, maxNodes, extraDomains }: SplitTerms,
  onProgress: TellProgress,
  signal: AbortSignal,
): Promise<SharedVersion> {
  const listed = await listVersion(dir, signal)
  if (!listed.some(({ path }) => path === MODEL_FILE))
    throw new NotPublishableError(`${dir}: --share-blobs takes tensors out of a ${MODEL_FILE}, and there is none`)
  const meter = stepMeter('digest', sumBytes(listed), onProgress)
  const graphFile = join(workDir, MODEL_FILE)
  const call = {
    dir,
    modelFile: MODEL_FILE,
    files: listed.map(({ path }) => path),
    graphFile,
    workDir,
    minBytes: MIN_SHARED_BYTES,
    maxNodes,
    extraDomains,
  }
  const { graph, tensors, dataFiles } = await split(call, meter, signal).catch((error: unknown) => {
    if (error instanceof GatewayError) throw new NotPublishableError(`${dir}: ${error.message}`)
    throw error
  })
  const taken = new Set([MODEL_FILE, ...dataFiles])
  const others = await digestFiles(
    dir,
    listed.filter(({ path }) => !taken.has(path)),
    meter,
    signal,
  )
  const shared = [...tensors, ...others.filter(({ bytes }) => bytes >= MIN_SHARED_BYTES)]
  const twice = others.find(({ path }) => tensors.some((tensor) => tensor.path === path))
  if (twice !== undefined)
    throw new NotPublishableError(`${dir}: ${twice.path} has the name of a tensor; give it another`)
  const manifest = join(workDir, SHARED_FILES)
  const text = Buffer.from(renderSharedFiles(shared))
  await writeFile(manifest, text)
  const files = [
    { path: MODEL_FILE, ...graph, file: graphFile, from: 0 },
    { path: SHARED_FILES, bytes: text.length, sha256: sha256Of(text), file: manifest, from: 0 },
    ...others.filter(({ bytes }) => bytes < MIN_SHARED_BYTES),
  ]
  return {
    files: files.toSorted((a, b) => (a.path < b.path ? -1 : 1)),
    blobs: [...new Map(shared.map((blob) => [blob.sha256, blob])).values()],
  }
}

function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
