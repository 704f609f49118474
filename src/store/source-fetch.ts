/** Fetches the objects of one version into an empty folder and holds each against what is known of it. */
import { chmod, mkdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { RemoteFile } from '../domain/remote-source.ts'
import { Semaphore } from '../lib/semaphore.ts'
import type { CrcKind, Digests } from './digest-messages.ts'
import type { DigestThread } from './digest-thread.ts'
import type { DownloadParts } from './object-download.ts'
import { downloadObject } from './object-download.ts'
import type { SharedFiles } from './shared-files.ts'
import type { FetchedFile, Integrity } from './source-record.ts'
import { createFile, READ_ONLY, sealFile } from './staging-place.ts'

/** The bytes that arrived are not those that the registry knows. */
export class CorruptObjectError extends Error {
  override readonly name = 'CorruptObjectError'
}

export interface FetchParts extends DownloadParts {
  readonly digests: DigestThread
  readonly shared: SharedFiles
  onBytes(bytes: number): void
}

export interface Fetched {
  /** In the order they were given. */
  readonly files: readonly FetchedFile[]
  readonly integrity: Integrity
  /** Of them, what other sources here had. */
  readonly copiedBytes: number
}

interface FetchedOne {
  readonly file: FetchedFile
  readonly integrity: Integrity
  readonly isCopied: boolean
}

/** Objects of one version at a time: a folder of many small files is bound by round trips. */
const PARALLEL_FILES = 8
const CRC_NAMES: Readonly<Record<CrcKind, string>> = { crc64nvme: 'CRC-64/NVME', crc32: 'CRC-32' }
const WEAKEST_FIRST: readonly Integrity[] = ['weak', 'crc32', 'crc64nvme', 'sha256']

/**
 * Paths must be checked. What is there afterwards is on the disk, and read-only.
 * @throws CorruptObjectError, ReadFailure, errors of the file system, or the signal's reason; nothing is written any more then
 */
export async function fetchFiles(
  files: readonly RemoteFile[],
  dir: string,
  parts: FetchParts,
  signal: AbortSignal,
): Promise<Fetched> {
  const failed = new AbortController()
  const either = AbortSignal.any([signal, failed.signal])
  const turns = new Semaphore(PARALLEL_FILES)
  const results = await Promise.allSettled(
    files.map((file) =>
      turns.use(async () => {
        try {
          return await fetchFile(file, dir, parts, either)
        } catch (error) {
          failed.abort(error)
          throw error
        }
      }, either),
    ),
  )
  either.throwIfAborted()
  const fetched = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  const integrity = WEAKEST_FIRST.find((kind) => fetched.some((one) => one.integrity === kind)) ?? 'sha256'
  const copiedBytes = fetched.reduce((sum, { file, isCopied }) => sum + (isCopied ? file.bytes : 0), 0)
  return { files: fetched.map(({ file }) => file), integrity, copiedBytes }
}

async function fetchFile(file: RemoteFile, dir: string, parts: FetchParts, signal: AbortSignal): Promise<FetchedOne> {
  const { sha256, isShared } = file
  if (isShared !== true || sha256 === undefined) return await download(file, dir, parts, signal)
  const bring = async (): Promise<FetchedOne> => {
    const copied = await copyShared(file, sha256, dir, parts)
    if (copied !== undefined) return copied
    const fetched = await download(file, dir, parts, signal)
    await parts.shared.note(sha256, join(dir, file.path))
    return fetched
  }
  return await parts.shared.inTurn(sha256, bring, signal)
}

/** Undefined when no source here has the bytes, or what it has is not them any more. */
async function copyShared(
  { path, bytes }: RemoteFile,
  sha256: string,
  dir: string,
  parts: FetchParts,
): Promise<FetchedOne | undefined> {
  const { shared, digests } = parts
  const target = join(dir, path)
  await mkdir(dirname(target), { recursive: true })
  if (!(await shared.copy(sha256, target))) return undefined
  // A machine that lost its power may have kept a part of it.
  const actual = await digests
    .begin(target, bytes, undefined)
    .end(bytes)
    .catch(() => undefined)
  if (actual?.sha256 !== sha256) {
    await rm(target)
    await shared.forget(sha256)
    return undefined
  }
  await chmod(target, READ_ONLY)
  parts.onBytes(bytes)
  return { file: { path, bytes, sha256 }, integrity: 'sha256', isCopied: true }
}

async function download(file: RemoteFile, dir: string, parts: FetchParts, signal: AbortSignal): Promise<FetchedOne> {
  const { path, bytes } = file
  const target = await createFile(dir, path)
  const following = parts.digests.begin(join(dir, path), bytes, crcOf(file)?.kind)
  try {
    const watch = {
      onBytes: (done: number) => parts.onBytes(done),
      onPrefix: (done: number) => (done === 0 ? following.restart() : following.follow(done)),
    }
    await downloadObject(file, target, parts, watch, signal)
    const digests = await following.end(bytes)
    const integrity = verify(file, digests)
    await sealFile(join(dir, path), target)
    return { file: { path, bytes, sha256: digests.sha256 }, integrity, isCopied: false }
  } catch (error) {
    following.abandon()
    await target.close()
    throw error
  }
}

/** The checksum to hold the bytes against, where there is no digest. */
function crcOf({
  sha256,
  crc64nvme,
  crc32,
}: RemoteFile): { readonly kind: CrcKind; readonly value: string } | undefined {
  if (sha256 !== undefined) return undefined
  if (crc64nvme !== undefined) return { kind: 'crc64nvme', value: crc64nvme }
  return crc32 === undefined ? undefined : { kind: 'crc32', value: crc32 }
}

/** @throws CorruptObjectError */
function verify(file: RemoteFile, digests: Digests): Integrity {
  if (file.sha256 !== undefined) {
    if (file.sha256.toLowerCase() !== digests.sha256) throw corrupt(file, 'SHA-256', file.sha256, digests.sha256)
    return 'sha256'
  }
  const crc = crcOf(file)
  if (crc === undefined) return 'weak'
  const actual = digests.crc ?? ''
  if (crc.value !== actual) throw corrupt(file, CRC_NAMES[crc.kind], crc.value, actual)
  return crc.kind
}

function corrupt({ path }: RemoteFile, what: string, expected: string, actual: string): CorruptObjectError {
  return new CorruptObjectError(`'${path}' arrived with ${what} ${actual}; the registry knows ${expected}`)
}
