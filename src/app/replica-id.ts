/** The identity of a replica, kept in its cache folder by the folder's owner: what hashing ranks by, and what answers name. */
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

const FILE = 'replica-id'
const ID = /^[a-z0-9-]{1,64}$/

/**
 * The id of this cache folder, made when there is none or what is there is not one. `isOwner`: of the folder; its guests get an id of
 * their own for as long as they live.
 */
export async function replicaId(cacheDir: string, isOwner: boolean): Promise<string> {
  const file = join(cacheDir, FILE)
  const known = await readFile(file, 'utf8').catch(() => '')
  if (isOwner && ID.test(known.trim())) return known.trim()
  const id = `replica-${randomBytes(4).toString('hex')}`
  if (!isOwner) return id
  await mkdir(cacheDir, { recursive: true })
  await writeFile(file, `${id}\n`)
  return id
}
