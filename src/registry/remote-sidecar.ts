/** A small file beside a model's versions that lies elsewhere: read again when its listing shows another one. */
import { LastGood } from './last-good.ts'
import type { FoundObject } from './remote-model.ts'

/**
 * Reads a small object of a listing. Rejects with an error whose `isFinal` says that reading the same object again would not help;
 * its message is shown.
 */
export type ReadSmall = (object: FoundObject) => Promise<string>

export class UnreadableError extends Error {
  override readonly name = 'UnreadableError'
  readonly isFinal: boolean

  constructor(message: string, isFinal: boolean) {
    super(message)
    this.isFinal = isFinal
  }
}

export class RemoteSidecar<T> {
  readonly #parse: (text: string) => T
  readonly #content = new LastGood<T>()
  #readEtag: string | undefined
  #isThere = false

  constructor(parse: (text: string) => T) {
    this.#parse = parse
  }

  get value(): T | undefined {
    return this.#content.value
  }

  get problem(): string | undefined {
    return this.#content.problem
  }

  /** Is there such a file? */
  get isThere(): boolean {
    return this.#isThere
  }

  /** There is such a file, and nothing is known of what it says. */
  get isUnknown(): boolean {
    return this.#isThere && this.#readEtag === undefined
  }

  /** `object` as the listing has it; undefined = there is none. Whether `value` or `problem` changed. */
  async look(object: FoundObject | undefined, read: ReadSmall): Promise<boolean> {
    if (object === undefined) {
      const wasThere = this.#isThere
      this.#isThere = false
      this.#readEtag = undefined
      this.#content.forget()
      return wasThere
    }
    this.#isThere = true
    if (object.etag === this.#readEtag) return false
    try {
      const text = await read(object)
      this.#readEtag = object.etag
      return this.#content.take(() => this.#parse(text))
    } catch (error) {
      if (!(error instanceof UnreadableError)) throw error
      if (!error.isFinal) return false
      this.#readEtag = object.etag
      return this.#content.take(() => {
        throw error
      })
    }
  }
}
