/**
 * A small file beside a model's versions (`aliases.json`, `modelmux.yaml`): read again when it changed and settled. While it
 * is wrong, its last good content stays in force and the problem is told.
 */
import { readFileSync, realpathSync } from 'node:fs'
import type { Clock } from '../lib/clock.ts'
import { isInside, isSameNode, type NodeFacts, statFactsSync } from '../lib/file-tree.ts'
import { LastGood } from './last-good.ts'
import { isSettled } from './settling.ts'

/** Of one file. Its content is kept for each of many thousand models. */
export const SIDECAR_MAX_BYTES = 256 * 2 ** 10

export class Sidecar<T> {
  readonly path: string
  readonly #parse: (text: string) => T
  #seen: NodeFacts | undefined
  #unchangedSince = 0
  #isRead = false
  readonly #content = new LastGood<T>()

  constructor(path: string, parse: (text: string) => T) {
    this.path = path
    this.#parse = parse
  }

  /** The last good content; undefined when there was none, or the file is gone. */
  get value(): T | undefined {
    return this.#content.value
  }

  /** What is wrong with the file as it is now. */
  get problem(): string | undefined {
    return this.#content.problem
  }

  /** The file changed and has not settled yet. */
  get isUnsettled(): boolean {
    return this.#seen !== undefined && !this.#isRead
  }

  /** Whether `value` or `problem` changed. `modelsRoot` is the models folder with links resolved. */
  look(modelsRoot: string, settleMs: number, clock: Clock): boolean {
    const found = statFactsSync(this.path)
    if (found?.kind !== 'file') return this.#forget()
    const facts = { path: this.path, ...found.facts }
    if (!isSameNode(facts, this.#seen)) {
      this.#seen = facts
      this.#unchangedSince = clock.now()
      this.#isRead = false
    }
    if (this.#isRead || !isSettled(facts.ctimeNs, this.#unchangedSince, settleMs, clock)) return false
    this.#isRead = true
    return this.#read(modelsRoot, facts.bytes)
  }

  #read(modelsRoot: string, bytes: number): boolean {
    return this.#content.take(() => {
      if (bytes > SIDECAR_MAX_BYTES) throw new Error(`it has ${bytes} bytes, at most ${SIDECAR_MAX_BYTES} are allowed`)
      // Messages of parsers quote what they read: nothing from outside may get into them.
      if (!isInside(realpathSync.native(this.path), modelsRoot))
        throw new Error('it is a link that leads out of the models folder')
      return this.#parse(readFileSync(this.path, 'utf8'))
    })
  }

  #forget(): boolean {
    if (this.#seen === undefined) return false
    this.#seen = undefined
    this.#content.forget()
    return true
  }
}
