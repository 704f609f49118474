/**
 * One version's folder: notices changes of its files with one `stat` each, and adopts a new state only once it settled.
 * Until then the state before stays adopted, so that a version being overwritten is never half of two.
 */
import { join } from 'node:path'
import { MODEL_FILES, SOURCE_BOUNDS, sourceIdOf } from '../domain/source-identity.ts'
import type { Clock } from '../lib/clock.ts'
import { isGone, isInside, isSameNode, listTreeSync, type NodeFacts, statFactsSync } from '../lib/file-tree.ts'
import type { VersionFacts } from './scan-messages.ts'
import { isSettled } from './settling.ts'

export type LookOutcome = 'same' | 'changed' | 'gone'

export class VersionWatch {
  readonly #folder: string
  readonly #version: string
  /** The version's files and folders at the last listing. */
  #nodes: readonly NodeFacts[] = []
  #seen: VersionFacts | undefined
  #newestChangeNs = 0n
  #unchangedSince = 0
  #adopted: VersionFacts | undefined

  constructor(folder: string, version: string) {
    this.#folder = folder
    this.#version = version
  }

  /** The settled state; undefined while there was none yet. */
  get adopted(): VersionFacts | undefined {
    return this.#adopted
  }

  /** A change was seen that has not settled. */
  get isUnsettled(): boolean {
    return this.#seen !== this.#adopted
  }

  /**
   * `changed`: `adopted` is another one than before, or it is the first time that the version was seen.
   * `modelsRoot` is the models folder with links resolved. @throws errors of the file system other than "it is gone"
   */
  look(modelsRoot: string, settleMs: number, clock: Clock): LookOutcome {
    const isFirst = this.#seen === undefined
    if (!this.#isUntouched() && !this.#list(modelsRoot, clock)) return 'gone'
    if (!this.isUnsettled) return 'same'
    if (!isSettled(this.#newestChangeNs, this.#unchangedSince, settleMs, clock)) return isFirst ? 'changed' : 'same'
    this.#adopted = this.#seen
    return 'changed'
  }

  #isUntouched(): boolean {
    if (this.#nodes.length === 0) return false
    for (const node of this.#nodes) {
      const found = statFactsSync(join(this.#folder, node.path))
      if (found === undefined || !isSameNode(node, { path: node.path, ...found.facts })) return false
    }
    return true
  }

  #list(modelsRoot: string, clock: Clock): boolean {
    try {
      const { realPath, files, dirs, problem } = listTreeSync(this.#folder, SOURCE_BOUNDS)
      const modelFile = MODEL_FILES.find((name) => files.some(({ path }) => path === name))
      const outside = isInside(realPath, modelsRoot)
        ? undefined
        : 'its folder is a link that leads out of the models folder'
      if (modelFile === undefined) return false
      this.#nodes = [...dirs, ...files]
      this.#newestChangeNs = newestChange(this.#nodes)
      this.#unchangedSince = clock.now()
      this.#see({
        version: this.#version,
        sourceId: sourceIdOf(files),
        modelFile,
        bytes: files.reduce((sum, file) => sum + file.bytes, 0),
        ...(outside === undefined && problem === undefined ? {} : { problem: outside ?? problem ?? '' }),
      })
      return true
    } catch (error) {
      if (isGone(error)) return false
      throw error
    }
  }

  /** What is seen again is the adopted object itself, so that "unsettled" is one comparison. */
  #see(facts: VersionFacts): void {
    const adopted = this.#adopted
    const isAdopted = adopted !== undefined && adopted.sourceId === facts.sourceId && adopted.problem === facts.problem
    this.#seen = isAdopted ? adopted : facts
  }
}

function newestChange(nodes: readonly NodeFacts[]): bigint {
  let newest = 0n
  for (const { ctimeNs } of nodes) if (ctimeNs > newest) newest = ctimeNs
  return newest
}
