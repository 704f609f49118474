/** Manifests as text, and the names that fingerprints give. */
import { hash } from 'node:crypto'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { killPoint } from '../child/kill-points.ts'
import type { Fingerprint, Manifest } from '../domain/artifact.ts'
import { isGone } from '../lib/file-tree.ts'
import { isDigest, manifestFile, stagingFolder } from './layout.ts'
import { hasCode } from './refusal.ts'

const FORMAT = 1
/** Hex digits of an artifact's name: 128 bits, short enough to read. */
const NAME_LENGTH = 32

export function artifactName(fingerprint: Fingerprint): string {
  const { source, ortVersion, provider, cpu, options } = fingerprint
  return hash('sha256', JSON.stringify([FORMAT, source, ortVersion, provider, cpu, options]), 'hex').slice(
    0,
    NAME_LENGTH,
  )
}

/** Whose manifest this is, or undefined when it is torn, of another layout, or lies about its name. */
export function parseManifest(text: string, artifact: string): Manifest | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (!isManifest(value) || value.artifact !== artifact || artifactName(value.fingerprint) !== artifact)
    return undefined
  return value
}

/** Written by us and by rename, so only what a stray edit or another version could break is looked at. */
function isManifest(value: unknown): value is Manifest {
  if (typeof value !== 'object' || value === null) return false
  const manifest = value as Partial<Manifest>
  return (
    manifest.format === FORMAT &&
    typeof manifest.artifact === 'string' &&
    typeof manifest.fingerprint === 'object' &&
    (manifest.form === 'mapped' || manifest.form === 'plain') &&
    typeof manifest.file === 'string' &&
    isInside(manifest.file) &&
    isDigest(manifest.graph?.digest ?? '') &&
    hasBlobs(manifest) &&
    (manifest.files ?? []).every(({ path, digest }) => isInside(path) && isDigest(digest)) &&
    Array.isArray(manifest.signature?.inputs) &&
    Array.isArray(manifest.signature.outputs)
  )
}

function isInside(path: string): boolean {
  return !path.startsWith('/') && !path.split('/').includes('..')
}

function hasBlobs({ blobs }: Partial<Manifest>): boolean {
  return blobs?.every(({ digest, bytes }) => isDigest(digest) && Number.isSafeInteger(bytes)) ?? false
}

/** Undefined when what is there cannot be used. @throws the file system's error when it does not say what is there */
export async function readManifest(cache: string, artifact: string): Promise<Manifest | undefined> {
  try {
    return parseManifest(await readFile(join(cache, manifestFile(artifact)), 'utf8'), artifact)
  } catch (error) {
    if (isGone(error) || hasCode(error, 'EISDIR')) return undefined
    throw error
  }
}

/** Writers of one artifact at once must not share a file. */
let serial = 0

/** Appears whole or not at all. Concurrent writers of one artifact: the last wins, with the same content but the probe. */
export async function writeManifest(cache: string, manifest: Manifest): Promise<void> {
  const folder = join(cache, stagingFolder)
  const partial = join(folder, `${manifest.artifact}.json-${++serial}`)
  // The folder is gone when somebody emptied the cache under us.
  await mkdir(folder, { recursive: true })
  try {
    await writeFile(partial, JSON.stringify(manifest))
    killPoint('manifest')
    await rename(partial, join(cache, manifestFile(manifest.artifact)))
    killPoint('rename')
  } catch (error) {
    await rm(partial, { force: true }).catch(() => {})
    throw error
  }
}
