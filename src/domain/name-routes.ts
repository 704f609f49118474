/** Which of several has the names under a prefix: a prefix is whole segments of a name, and the longest that fits is the one. */
import { nameProblem } from './model-ref.ts'

/** '' = every name that no other prefix is for. */
export type NamePrefix = string

/** Why a text is no prefix of names, or undefined when it is. */
export function prefixProblem(prefix: string): string | undefined {
  // What no name can begin with is no prefix.
  return nameProblem(`${prefix}/x`)
}

export class NameRoutes<T extends { readonly prefix: NamePrefix }> {
  readonly #byPrefix: ReadonlyMap<NamePrefix, T>

  /** @throws TypeError for a prefix that two have */
  constructor(routes: readonly T[]) {
    this.#byPrefix = new Map(routes.map((route) => [route.prefix, route]))
    if (this.#byPrefix.size < routes.length) throw new TypeError('two routes have the same prefix')
  }

  /** In a number of steps that is bounded by the segments of the name. */
  of(name: string): T | undefined {
    for (let end = name.length; end > 0; end = name.lastIndexOf('/', end - 1)) {
      const route = this.#byPrefix.get(name.slice(0, end))
      if (route !== undefined) return route
    }
    return this.#byPrefix.get('')
  }
}
