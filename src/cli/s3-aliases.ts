/** `aliases.json` of a model in S3, changed in the names that are asked for and nowhere else. */
import { hash } from 'node:crypto'
import type { S3 } from '../clients/s3.ts'
import { S3Error } from '../clients/s3-error.ts'
import type { S3Writer } from '../clients/s3-writer.ts'
import type { S3Folder } from '../domain/s3-uri.ts'
import { NotPublishableError } from './local-version.ts'

const ALIASES_FILE = 'aliases.json'
const ALIASES_MAX_BYTES = 256 * 1024
/** Somebody else may write the aliases at the same time. */
const ALIAS_TRIES = 5

/** `folder`: of the model. @returns those that named another version, or none, before. @throws NotPublishableError, S3Error */
export async function moveAliases(
  s3: S3,
  writer: S3Writer,
  { bucket, prefix }: S3Folder,
  aliases: readonly string[],
  version: string,
  signal: AbortSignal,
): Promise<string[]> {
  const key = `${prefix}${ALIASES_FILE}`
  for (let tries = 1; ; tries++) {
    const { etag, known } = await readAliases(s3, bucket, key, signal)
    const moved = aliases.filter((alias) => known.get(alias) !== version)
    if (moved.length === 0) return []
    for (const alias of moved) known.set(alias, version)
    const body = Buffer.from(`${JSON.stringify(Object.fromEntries(known), null, 2)}\n`)
    try {
      await writer.put({ bucket, key }, body, hash('sha256', body, 'hex'), { over: { etag }, signal })
      return moved
    } catch (error) {
      if (!(error instanceof S3Error) || error.kind !== 'replaced' || tries === ALIAS_TRIES) throw error
    }
  }
}

async function readAliases(
  s3: S3,
  bucket: string,
  key: string,
  signal: AbortSignal,
): Promise<{ etag: string | null; known: Map<string, unknown> }> {
  try {
    const { etag, bytes } = await s3.head({ bucket, key }, signal)
    const text = await s3.readText({ bucket, key, etag }, bytes, ALIASES_MAX_BYTES, signal)
    const content: unknown = JSON.parse(text)
    if (typeof content === 'object' && content !== null && !Array.isArray(content))
      return { etag, known: new Map(Object.entries(content)) }
    throw new NotPublishableError(`${key} is no object of versions by alias; nothing was changed in it`)
  } catch (error) {
    if (error instanceof SyntaxError) throw new NotPublishableError(`${key} is not JSON; nothing was changed in it`)
    if (error instanceof S3Error && error.kind === 'not-found') return { etag: null, known: new Map() }
    throw error
  }
}
