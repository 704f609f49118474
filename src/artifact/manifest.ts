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

/** Written by us and by rename, so only what a stray edit or another version could break is looked at; whatever that left there. */
function isManifest(value: unknown): value is Manifest {
  const { format, artifact, fingerprint, form, file, graph, blobs, files = [], signature } = fieldsOf(value)
  const { inputs, outputs } = fieldsOf(signature)
  return (
    format === FORMAT &&
    typeof artifact === 'string' &&
    typeof fingerprint === 'object' &&
    fingerprint !== null &&
    (form === 'mapped' || form === 'plain') &&
    isInside(file) &&
    hasDigest(graph) &&
    isListOf(blobs, (blob) => hasDigest(blob) && Number.isSafeInteger(fieldsOf(blob).bytes)) &&
    isListOf(files, (one) => hasDigest(one) && isInside(fieldsOf(one).path)) &&
    Array.isArray(inputs) &&
    Array.isArray(outputs)
  )
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {}
}

function isListOf(value: unknown, isItem: (item: unknown) => boolean): boolean {
  return Array.isArray(value) && value.every(isItem)
}

function hasDigest(value: unknown): boolean {
  const { digest } = fieldsOf(value)
  return typeof digest === 'string' && isDigest(digest)
}

function isInside(path: unknown): boolean {
  return typeof path === 'string' && !path.startsWith('/') && !path.split('/').includes('..')
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
