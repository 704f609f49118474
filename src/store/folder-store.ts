/** Versions in a folder are used where they lie: staging looks and checks, and copies nothing. */
import { constants } from 'node:fs'
import { access, realpath } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { GatewayError } from '../domain/errors.ts'
import type { ModelVersion } from '../domain/model-version.ts'
import { SOURCE_BOUNDS, sourceIdOf } from '../domain/source-identity.ts'
import { isGone, isInside, isSameTree, listTree, type TreeListing } from '../lib/file-tree.ts'
import type { StagedSource, Store } from './store.ts'

export interface FolderStoreOptions {
  /** The models folder. */
  readonly models: string
  /** Accept files with several names on disk: another name may lie anywhere, also where others may write. */
  readonly allowHardLinks: boolean
  /** When to ask again for a version whose files are changing: they must settle, and be seen. */
  readonly settleMs: number
}

export class FolderStore implements Store {
  readonly #models: string
  readonly #allowHardLinks: boolean
  readonly #settleMs: number

  constructor({ models, allowHardLinks, settleMs }: FolderStoreOptions) {
    this.#models = resolve(models)
    this.#allowHardLinks = allowHardLinks
    this.#settleMs = settleMs
  }

  async stage(version: ModelVersion, signal?: AbortSignal): Promise<StagedSource> {
    signal?.throwIfAborted()
    const folder = join(this.#models, version.name, version.version)
    const listing = await this.#list(folder, version, signal)
    this.#check(listing, version)
    const { realPath, files } = listing
    await this.#requireReadable(realPath, listing, version)
    return {
      dir: realPath,
      modelFile: version.modelFile,
      files: files.map(({ path, bytes }) => ({ path, bytes })),
      bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
      isUnchanged: () => isStill(listing, realPath),
      // They lie where they lie.
      release() {},
    }
  }

  /** Nothing is fetched. */
  progressOf(): undefined {
    return undefined
  }

  async #list(folder: string, version: ModelVersion, signal: AbortSignal | undefined): Promise<TreeListing> {
    let models: string
    let listing: TreeListing
    try {
      models = await realpath(this.#models)
      listing = await listTree(folder, SOURCE_BOUNDS, signal)
    } catch (error) {
      signal?.throwIfAborted()
      throw unreachable(version, isGone(error) ? 'its folder is gone' : 'its folder cannot be read', error)
    }
    if (!isInside(listing.realPath, models))
      throw invalid(version, 'its folder is a link that leads out of the models folder')
    return listing
  }

  #check({ files, problem }: TreeListing, version: ModelVersion): void {
    if (problem !== undefined) throw invalid(version, problem)
    if (!files.some(({ path }) => path === version.modelFile))
      throw unreachable(version, `'${version.modelFile}' is gone`)
    if (sourceIdOf(files) !== version.sourceId) {
      throw new GatewayError(
        'MODEL_LOADING',
        `the files of version ${version.version} of '${version.name}' changed; they count once they settled`,
        {
          ...factsOf(version),
          retryAfterMs: this.#settleMs,
        },
      )
    }
    const linked = this.#allowHardLinks ? undefined : files.find(({ links }) => links > 1)
    if (linked !== undefined) {
      throw invalid(
        version,
        `'${linked.path}' has ${linked.links} hard links; copy the file, or set store.allowHardLinks if all who can write to the other names are trusted`,
      )
    }
  }

  async #requireReadable(folder: string, { files }: TreeListing, version: ModelVersion): Promise<void> {
    for (const { path } of files) {
      try {
        await access(join(folder, path), constants.R_OK)
      } catch (error) {
        throw unreachable(version, isGone(error) ? `'${path}' is gone` : `'${path}' cannot be read`, error)
      }
    }
  }
}

async function isStill(listing: TreeListing, folder: string): Promise<boolean> {
  try {
    return isSameTree(listing, await listTree(folder, SOURCE_BOUNDS))
  } catch {
    return false
  }
}

function unreachable(version: ModelVersion, reason: string, cause?: unknown): GatewayError {
  return new GatewayError(
    'ARTIFACT_UNREACHABLE',
    `version ${version.version} of '${version.name}' cannot be fetched: ${reason}`,
    factsOf(version),
    { cause },
  )
}

function invalid(version: ModelVersion, reason: string): GatewayError {
  return new GatewayError(
    'ARTIFACT_INVALID',
    `version ${version.version} of '${version.name}' cannot be used: ${reason}`,
    factsOf(version),
  )
}

function factsOf({ name, version }: ModelVersion): { model: string; version: string } {
  return { model: name, version }
}
