/**
 * Are an artifact's files still what was written? Cheap at every open: size, and the (mtime, inode) under which the content was last
 * known good. What changed since, or was written after the manifest that names it, is digested; the scrub digests everything in time.
 */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { LRUCache } from 'lru-cache'
import type { Manifest } from '../domain/artifact.ts'
import { blobPath, manifestFile } from './layout.ts'

/** Digests files in another process: relative paths to expected SHA-256 in, the paths that are corrupt out. `isWaitedFor`: by a load. */
export type VerifyFiles = (
  files: Readonly<Record<string, string>>,
  bytes: number,
  isWaitedFor: boolean,
) => Promise<readonly string[]>

/** A file of the cache folder, relative to it, and the content it should have. */
export interface FileState {
  readonly path: string
  readonly digest: string
  readonly bytes: number
}

/** Files whose identity is remembered; a forgotten one is only looked at again. */
const MAX_REMEMBERED = 100_000

export class Integrity {
  readonly #cache: string
  readonly #verify: VerifyFiles
  /** Path to `mtime:inode` as last known good. */
  readonly #known = new LRUCache<string, string>({ max: MAX_REMEMBERED })

  constructor(cache: string, verify: VerifyFiles) {
    this.#cache = cache
    this.#verify = verify
  }

  /** Paths that are missing or not what they were; empty: all is well. */
  async check(manifest: Manifest): Promise<readonly string[]> {
    const files = filesOf(manifest)
    const states = await Promise.all(files.map((file) => this.#judge(file, manifest)))
    const corrupt = states.filter((state) => state.verdict === 'corrupt').map((state) => state.file.path)
    const doubtful = states.filter((state) => state.verdict === 'doubtful')
    if (corrupt.length > 0 || doubtful.length === 0) return corrupt
    return await this.#digest(doubtful, true)
  }

  /** Digests all files of the artifact, whatever is known. */
  async verify(manifest: Manifest, isWaitedFor: boolean): Promise<readonly string[]> {
    const states = await Promise.all(
      filesOf(manifest).map(async (file) => ({ file, identity: await identityOf(join(this.#cache, file.path)) })),
    )
    return await this.#digest(states, isWaitedFor)
  }

  /** Of these, the paths of those that are here with their content. What is not known to be is digested. */
  async whole(files: readonly FileState[]): Promise<ReadonlySet<string>> {
    const found = await Promise.all(
      files.map(async (file) => ({ file, identity: await identityOf(join(this.#cache, file.path)) })),
    )
    const here = found.filter(({ file, identity }) => identity?.bytes === file.bytes)
    const doubtful = here.filter(({ file, identity }) => this.#known.get(file.path) !== identity?.key)
    const corrupt = doubtful.length === 0 ? [] : await this.#digest(doubtful, true)
    return new Set(here.map(({ file }) => file.path).filter((path) => !corrupt.includes(path)))
  }

  /** Content that was just written by us, or just digested. */
  async remember(manifest: Manifest): Promise<void> {
    for (const { path } of filesOf(manifest)) {
      const identity = await identityOf(join(this.#cache, path))
      if (identity !== undefined) this.#known.set(path, identity.key)
    }
  }

  forget(path: string): void {
    this.#known.delete(path)
  }

  async #judge(
    file: FileState,
    manifest: Manifest,
  ): Promise<{ file: FileState; identity?: Identity; verdict: 'good' | 'doubtful' | 'corrupt' }> {
    const identity = await identityOf(join(this.#cache, file.path))
    if (identity === undefined || identity.bytes !== file.bytes) return { file, verdict: 'corrupt' }
    const known = this.#known.get(file.path)
    if (known === identity.key) return { file, identity, verdict: 'good' }
    if (known !== undefined) return { file, identity, verdict: 'doubtful' }
    const written = await identityOf(join(this.#cache, manifestFile(manifest.artifact)))
    if (written === undefined || identity.mtimeMs > written.mtimeMs) return { file, identity, verdict: 'doubtful' }
    this.#known.set(file.path, identity.key)
    return { file, identity, verdict: 'good' }
  }

  async #digest(
    states: readonly { readonly file: FileState; readonly identity?: Identity | undefined }[],
    isWaitedFor: boolean,
  ): Promise<readonly string[]> {
    const files = Object.fromEntries(states.map(({ file }) => [file.path, file.digest]))
    const corrupt = await this.#verify(
      files,
      states.reduce((sum, { file }) => sum + file.bytes, 0),
      isWaitedFor,
    )
    for (const { file, identity } of states) {
      if (corrupt.includes(file.path)) this.#known.delete(file.path)
      else if (identity !== undefined) this.#known.set(file.path, identity.key)
    }
    return corrupt
  }
}

function filesOf(manifest: Manifest): FileState[] {
  return [
    { path: manifest.file, digest: manifest.graph.digest, bytes: manifest.graph.bytes },
    ...(manifest.files ?? []),
    ...manifest.blobs.map(({ digest, bytes }) => ({ path: blobPath(digest), digest, bytes })),
  ]
}

interface Identity {
  readonly key: string
  readonly bytes: number
  readonly mtimeMs: number
}

async function identityOf(path: string): Promise<Identity | undefined> {
  try {
    const { size, mtimeMs, ino } = await stat(path)
    return { key: `${mtimeMs}:${ino}`, bytes: size, mtimeMs }
  } catch {
    return undefined
  }
}
