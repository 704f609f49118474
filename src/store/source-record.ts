/** `source.json`, by which a fetched source is complete: what was fetched, and how sure that is. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { CrcKind } from './digest-messages.ts'

/** What the bytes were held against; `weak`: their number and the ETag of every answer only. */
export type Integrity = 'sha256' | CrcKind | 'weak'

export interface FetchedFile {
  readonly path: string
  readonly bytes: number
  /** Hex; of the bytes that arrived. */
  readonly sha256: string
}

export interface SourceRecord {
  readonly format: 1
  readonly sourceId: string
  /** ModelKey; absent in records from before it was kept. */
  readonly key?: string
  /** Of the machine's run in which it was fetched: a source that outlived it may have lost what was not on the disk yet. */
  readonly bootId: string
  /** The weakest of its objects. */
  readonly integrity: Integrity
  readonly bytes: number
  /** Sorted by path. Of an archive: what was in it. */
  readonly files: readonly FetchedFile[]
}

const INTEGRITIES: ReadonlySet<unknown> = new Set<Integrity>(['sha256', 'crc64nvme', 'crc32', 'weak'])

export const RECORD_FILE = 'source.json'
/** Beside the record: the folder of the files. */
export const FILES = 'files'
/** Ends the name of a source's folder while it is fetched. */
export const PART = '.part'
/** A record of 10,000 files is 2 MB. */
const MAX_RECORD_BYTES = 16 * 2 ** 20

/** Undefined where none is, or one that is torn, scribbled over, or of another version of this program. */
export async function readSourceRecord(dir: string): Promise<SourceRecord | undefined> {
  try {
    const text = await readFile(join(dir, RECORD_FILE), 'utf8')
    if (text.length > MAX_RECORD_BYTES) return undefined
    const value: unknown = JSON.parse(text)
    return isRecord(value) ? value : undefined
  } catch {
    return undefined
  }
}

function isRecord(value: unknown): value is SourceRecord {
  if (typeof value !== 'object' || value === null) return false
  const {
    format,
    sourceId,
    key = '',
    bootId,
    integrity,
    bytes,
    files,
  } = value as Partial<Record<keyof SourceRecord, unknown>>
  return (
    format === 1 &&
    typeof sourceId === 'string' &&
    typeof key === 'string' &&
    typeof bootId === 'string' &&
    INTEGRITIES.has(integrity) &&
    Number.isSafeInteger(bytes) &&
    Array.isArray(files) &&
    files.every(isFile)
  )
}

function isFile(value: unknown): value is FetchedFile {
  if (typeof value !== 'object' || value === null) return false
  const { path, bytes, sha256 } = value as Partial<Record<keyof FetchedFile, unknown>>
  return typeof path === 'string' && Number.isSafeInteger(bytes) && typeof sha256 === 'string'
}
