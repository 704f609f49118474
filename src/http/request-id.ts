/** Ids of requests: the client's own when it is fit for a log line, else a prefix of this boot and a count. */

export class RequestIds {
  readonly #prefix: string
  #count = 0

  /** `prefix` is random, so that ids of two boots differ. */
  constructor(prefix: string) {
    this.#prefix = prefix
  }

  idFor(header: string | undefined): string {
    if (header !== undefined && isFit(header)) return header
    return `${this.#prefix}-${(++this.#count).toString(36)}`
  }
}

const MAX_LENGTH = 128

function isFit(id: string): boolean {
  if (id.length === 0 || id.length > MAX_LENGTH) return false
  for (let i = 0; i < id.length; i++) {
    const code = id.charCodeAt(i)
    if (code < 0x21 || code > 0x7e) return false
  }
  return true
}
