/** What MLflow's registry is asked for, page by page, and a single model by its name. */
import { nextTurn } from '../lib/next-turn.ts'

export interface ListedModel {
  readonly name: string
  readonly aliases: ReadonlyArray<readonly [alias: string, version: string]>
  readonly tags: ReadonlyMap<string, string>
}

export interface ListedVersion {
  readonly name: string
  /** Digits. */
  readonly version: string
  /** `READY`, or why not. */
  readonly status: string
  readonly tags: ReadonlyMap<string, string>
  /** Milliseconds since 1970 by the server's clock. */
  readonly createdMs: number
  readonly runId: string | undefined
}

/** One page of a list; `next` asks for the one after it. */
export interface Page<T> {
  readonly items: readonly T[]
  readonly next: string | undefined
}

export interface PageRequest {
  readonly pageToken?: string | undefined
  readonly limit: number
}

/** All reject with an error whose message may be shown, or the signal's reason. */
export interface MlflowReads {
  models(page: PageRequest, signal: AbortSignal): Promise<Page<ListedModel>>
  /** @param page `name` of the model whose versions are wanted, one that `nameFilter` has words for; absent = those of all models */
  versions(page: PageRequest & { readonly name?: string }, signal: AbortSignal): Promise<Page<ListedVersion>>
  /** Undefined when there is none of that name. */
  model(name: string, signal: AbortSignal): Promise<ListedModel | undefined>
}

/** A list that never ends would keep a sweep going for ever. */
const MAX_PAGES = 1000
/** A page of thousands would hold up everybody else. */
const ITEMS_PER_TURN = 250

/** Gives each item of each page to `take`. @returns how many pages there were @throws Error also for a list that does not end */
export async function eachItem<T>(
  ask: (pageToken: string | undefined) => Promise<Page<T>>,
  take: (item: T) => void,
): Promise<number> {
  let token: string | undefined
  for (let pages = 1; pages <= MAX_PAGES; pages++) {
    const { items, next } = await ask(token)
    for (const [index, item] of items.entries()) {
      take(item)
      if ((index + 1) % ITEMS_PER_TURN === 0) await nextTurn()
    }
    if (next === undefined) return pages
    if (next === token) throw new Error('MLflow gave the same page twice')
    token = next
  }
  throw new Error(`MLflow has more than ${MAX_PAGES} pages of models`)
}
