/** From the objects of a version to its files: what may be fetched at all, and archives unpacked. */
import { rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { GatewayError } from '../domain/errors.ts'
import { printable } from '../domain/model-ref.ts'
import type { ModelVersion } from '../domain/model-version.ts'
import type { RemoteFile, RemoteSource } from '../domain/remote-source.ts'
import { pathsProblem } from './file-paths.ts'
import { CorruptObjectError, type Fetched, type FetchParts, fetchFiles } from './source-fetch.ts'
import { ArchiveError } from './tar-reader.ts'
import { unpack } from './unpack.ts'

/** What an archive is called while it is unpacked, beside the folder of files. */
const ARCHIVE = 'archive.tar.gz'

/** Sorted by path. @throws GatewayError ARTIFACT_INVALID for what cannot be files of a model */
export function checked(
  { name, version, ...known }: ModelVersion,
  { files, modelFile = known.modelFile }: RemoteSource,
): RemoteSource {
  const refuse = (reason: string): never => {
    throw new GatewayError('ARTIFACT_INVALID', `version ${version} of '${name}' cannot be used: ${reason}`)
  }
  const problem = pathsProblem(files.map(({ path }) => path))
  if (problem !== undefined) refuse(problem)
  const isArchive = files.some((file) => file.isArchive === true)
  if (isArchive && files.length > 1) refuse('it has an archive and other files')
  if (!isArchive && !files.some(({ path }) => path === modelFile)) refuse(`it has no '${printable(modelFile)}'`)
  const odd = files.find(({ bytes }) => !Number.isSafeInteger(bytes) || bytes < 0)
  if (odd !== undefined) refuse(`'${printable(odd.path)}' has a size of ${odd.bytes} bytes`)
  return { files: files.toSorted((a, b) => (a.path < b.path ? -1 : 1)) }
}

/** The files of the version into `dir`; those of an archive out of it. */
export async function bringFiles(
  { modelFile }: ModelVersion,
  files: readonly RemoteFile[],
  dir: string,
  parts: FetchParts & { readonly unpackedBytes: number },
  signal: AbortSignal,
): Promise<Fetched> {
  const [archive] = files
  if (archive?.isArchive !== true) return await fetchFiles(files, dir, parts, signal)
  const folder = dirname(dir)
  const fetched = await fetchFiles([{ ...archive, path: ARCHIVE }], folder, parts, signal)
  const at = { path: join(folder, ARCHIVE), bytes: archive.bytes }
  try {
    const unpacked = await unpack(at, dir, { digests: parts.digests, maxBytes: parts.unpackedBytes }, signal)
    if (!unpacked.some(({ path }) => path === modelFile)) throw new ArchiveError(`it has no '${printable(modelFile)}'`)
    return { ...fetched, files: unpacked }
  } catch (error) {
    // With nothing to hold the archive against, the archive itself is what tells that a byte is another.
    if (error instanceof ArchiveError && error.isDamaged && fetched.integrity === 'weak')
      throw new CorruptObjectError(`'${printable(archive.path)}' arrived damaged: ${error.message}`, { cause: error })
    throw error
  } finally {
    await rm(at.path, { force: true })
  }
}
