/** The files of a version as they lie in a folder of this machine, with their digests. */
import { createHash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { SHARED_FILES } from '../domain/shared-blobs.ts'
import { MODEL_FILES, SOURCE_BOUNDS } from '../domain/source-identity.ts'
import { listTree } from '../lib/file-tree.ts'

export interface LocalFile {
  /** Relative to the version's folder. */
  readonly path: string
  readonly bytes: number
  /** Hex. */
  readonly sha256: string
  /** Absolute path of the file that holds the bytes, and the first of them there. */
  readonly file: string
  readonly from: number
}

export interface PublishProgress {
  readonly step: 'digest' | 'upload'
  readonly bytesDone: number
  readonly bytes: number
}

export type TellProgress = (progress: PublishProgress) => void

/** The folder is no version of a model, or cannot be read. */
export class NotPublishableError extends Error {
  override readonly name = 'NotPublishableError'
}

const READ_BYTES = 2 ** 20

/** Every file of the folder. @throws NotPublishableError, the signal's reason */
export async function readVersion(dir: string, onProgress: TellProgress, signal: AbortSignal): Promise<LocalFile[]> {
  const files = await listVersion(dir, signal)
  const meter = stepMeter('digest', sumBytes(files), onProgress)
  return await digestFiles(dir, files, meter, signal)
}

/** Paths and sizes of a folder that holds a version. @throws NotPublishableError, the signal's reason */
export async function listVersion(
  dir: string,
  signal: AbortSignal,
): Promise<ReadonlyArray<{ readonly path: string; readonly bytes: number }>> {
  const { files, problem } = await listTree(dir, SOURCE_BOUNDS, signal).catch((error: unknown) => {
    signal.throwIfAborted()
    throw new NotPublishableError(`${dir} cannot be read: ${error instanceof Error ? error.message : String(error)}`)
  })
  if (problem !== undefined) throw new NotPublishableError(`${dir}: ${problem}`)
  if (!files.some(({ path }) => isModelFile(path)))
    throw new NotPublishableError(`${dir}: there is no ${MODEL_FILES[0]} in it`)
  if (files.some(({ path }) => path === SHARED_FILES))
    throw new NotPublishableError(
      `${dir} has a ${SHARED_FILES}: it was taken from where somebody published it with --share-blobs, and lacks the files named there`,
    )
  return files
}

/** As they are, one after the other. */
export async function digestFiles(
  dir: string,
  files: ReadonlyArray<{ readonly path: string; readonly bytes: number }>,
  onBytes: (bytes: number) => void,
  signal: AbortSignal,
): Promise<LocalFile[]> {
  const local: LocalFile[] = []
  for (const { path, bytes } of files) {
    const file = join(dir, path)
    const sha256 = await withFile(file, (handle) => digestOf(handle, signal, onBytes))
    local.push({ path, bytes, sha256, file, from: 0 })
  }
  return local
}

/** Counts the bytes of one step. */
export function stepMeter(
  step: PublishProgress['step'],
  bytes: number,
  onProgress: TellProgress,
): (done: number) => void {
  let bytesDone = 0
  return (done) => {
    bytesDone += done
    onProgress({ step, bytesDone, bytes })
  }
}

export async function withFile<T>(path: string, use: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await open(path)
  try {
    return await use(file)
  } finally {
    await file.close()
  }
}

export function isModelFile(path: string): boolean {
  return MODEL_FILES.some((name) => name === path)
}

export function sumBytes(files: ReadonlyArray<{ readonly bytes: number }>): number {
  return files.reduce((total, { bytes }) => total + bytes, 0)
}

async function digestOf(file: FileHandle, signal: AbortSignal, onBytes: (bytes: number) => void): Promise<string> {
  const digest = createHash('sha256')
  const buffer = Buffer.alloc(READ_BYTES)
  for (;;) {
    signal.throwIfAborted()
    const { bytesRead } = await file.read(buffer, 0, buffer.length, null)
    if (bytesRead === 0) return digest.digest('hex')
    digest.update(buffer.subarray(0, bytesRead))
    onBytes(bytesRead)
  }
}
