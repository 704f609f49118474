/** What a guest of a cache folder asks of its owner: calls carry JSON both ways, and the owner's questions come as events. */
import type { FolderTerms } from './folder-terms.ts'
import type { ArtifactSource } from './source.ts'

export const OWNER_CALLS = {
  hello: 1,
  find: 2,
  compile: 3,
  recheck: 4,
  probe: 5,
  inspect: 6,
  checkFiles: 7,
  pageIn: 8,
  verify: 9,
  hold: 10,
  letGo: 11,
  unchanged: 12,
} as const

export interface HelloCall {
  readonly terms: FolderTerms
}

export interface HelloReply {
  /** Why the owner does not take this guest; absent: welcome. */
  readonly refusal?: string
}

export interface FindCall {
  readonly sourceId: string
}

/** A source whose files the guest can tell to be unchanged, when asked by this number. */
export interface RemoteSource extends Omit<ArtifactSource, 'isUnchanged'> {
  readonly ask: number
}

export interface CompileCallOfGuest {
  readonly source: RemoteSource
}

export interface RecheckCall extends CompileCallOfGuest {
  /** Base64. */
  readonly body: string
  readonly jsonBytes?: number
}

/** Of what is known already. */
export interface ArtifactCall {
  readonly artifact: string
}

export interface ProbeCallOfGuest extends ArtifactCall, Pick<ArtifactSource, 'tenant' | 'warmUp' | 'intraOpThreads'> {}

export type InspectCall = Pick<ArtifactSource, 'tenant' | 'dir' | 'modelFile'>

/** What the owner says unasked. */
export type OwnerEvent = UnchangedQuestion | CorruptNews

/** These files, relative to the cache folder, were not what was written, and are gone. */
export interface CorruptNews {
  readonly corrupt: readonly string[]
}

/** Are the files of source `ask` still those that were staged? */
export interface UnchangedQuestion {
  readonly ask: number
  readonly question: number
}

export interface UnchangedCall {
  readonly question: number
  readonly isUnchanged: boolean
}
