/** A listing of a folder in S3, page by page in one sweep, handed out by folders of its first level. */
import type { S3Listed, S3Page, S3PageRequest } from '../clients/s3.ts'
import type { S3Folder } from '../domain/s3-uri.ts'
import type { FoundObject } from './remote-model.ts'

/** S3 gives no more in one page. */
const PAGE_OBJECTS = 1000
/** Greater than every key that begins with a dot, and less than those of names: the byte after the dot's. */
const BEHIND_HIDDEN = '/'

/** One page; retries are its own. */
export type ListPage = (request: S3PageRequest, signal?: AbortSignal) => Promise<S3Page>

export class ListingError extends Error {
  override readonly name = 'ListingError'
}

/**
 * Every object of the folder, those of one folder of the first level (and each object beside the folders) together. In memory is one
 * such folder and one page. What begins with a dot is left out, and jumped over: a hundred thousand shared tensors cost a sweep one call.
 * @throws ListingError for more than `maxObjects`, or a list that is not in order; whatever `list` throws
 */
export async function* listGroups(
  list: ListPage,
  { bucket, prefix }: S3Folder,
  maxObjects: number,
  signal: AbortSignal,
): AsyncGenerator<readonly FoundObject[]> {
  const done = new Set<string>()
  let group: FoundObject[] = []
  let top: string | undefined
  let count = 0
  let from: string | undefined
  let after: string | undefined
  let hasJumped = false
  do {
    const page = await list({ bucket, prefix, from, after, limit: PAGE_OBJECTS }, signal)
    count += page.objects.length
    if (count > maxObjects) throw new ListingError(`there are more than ${maxObjects} objects`)
    for (const object of page.objects) {
      const found = below(object, prefix)
      if (isHidden(found)) continue
      const objectTop = topOf(found.path)
      if (objectTop !== top) {
        if (group.length > 0) yield group
        group = []
        top = objectTop
        // What was handed out as whole was not: models would come and go with each sweep.
        if (done.has(objectTop)) throw new ListingError('S3 does not list objects in the order of their keys')
        done.add(objectTop)
      }
      group.push(found)
    }
    from = page.next
    const last = page.objects.at(-1)
    // Once: a server that does not know how to begin behind a key is asked for page after page.
    const jumps: boolean = !hasJumped && from !== undefined && last !== undefined && isHidden(below(last, prefix))
    after = jumps ? `${prefix}${BEHIND_HIDDEN}` : undefined
    if (jumps) from = undefined
    hasJumped ||= jumps
  } while (from !== undefined || after !== undefined)
  if (group.length > 0) yield group
}

/** The objects below one path, or undefined when there are more than `pages` pages of them. */
export async function listFew(
  list: ListPage,
  { bucket, prefix }: S3Folder,
  path: string,
  pages: number,
  signal: AbortSignal,
): Promise<FoundObject[] | undefined> {
  const found: FoundObject[] = []
  let from: string | undefined
  for (let page = 1; page <= pages; page++) {
    const { objects, next } = await list({ bucket, prefix: `${prefix}${path}`, from, limit: PAGE_OBJECTS }, signal)
    for (const object of objects) found.push(below(object, prefix))
    if (next === undefined) return found
    from = next
  }
  return undefined
}

function below({ key, bytes, etag, modifiedMs }: S3Listed, prefix: string): FoundObject {
  return { path: key.slice(prefix.length), bytes, etag, modifiedMs }
}

function isHidden({ path }: FoundObject): boolean {
  return path.startsWith('.')
}

/** Folders keep their slash: an object may have the name of a folder. */
function topOf(path: string): string {
  const slash = path.indexOf('/')
  return slash === -1 ? path : path.slice(0, slash + 1)
}
