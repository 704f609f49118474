/** The data files that a saved graph may refer to: the one that the engine wrote beside it, and the source's own, which the walk approved. */
import { closeSync, fstatSync, openSync } from 'node:fs'
import { ByteWindow } from './wire.ts'

export class ExternalWindows {
  /** Location, as the graph names it, to absolute path. */
  readonly #paths: ReadonlyMap<string, string>
  readonly #open = new Map<string, { readonly fd: number; readonly window: ByteWindow }>()

  constructor(paths: ReadonlyMap<string, string>) {
    this.#paths = paths
  }

  /** Opens the file when it is first asked for; undefined when the location is none of those given. */
  get(location: string): ByteWindow | undefined {
    const known = this.#open.get(location)
    if (known !== undefined) return known.window
    const path = this.#paths.get(location)
    if (path === undefined) return undefined
    const fd = openSync(path, 'r')
    const window = ByteWindow.ofFile(fd, fstatSync(fd).size)
    this.#open.set(location, { fd, window })
    return window
  }

  close(): void {
    for (const { fd } of this.#open.values()) closeSync(fd)
    this.#open.clear()
  }
}
