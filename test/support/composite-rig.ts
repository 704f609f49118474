/** Folder registries behind prefixes as one, on one clock that the test moves: a folder for the tenant acme, one for all others. */
import { systemClock } from '../../src/lib/clock.ts'
import { CompositeRegistry } from '../../src/registry/composite-registry.ts'
import { FolderRegistry } from '../../src/registry/folder-registry.ts'
import { InlineScanner } from './inline-scanner.ts'
import { ManualClock } from './manual-clock.ts'
import { SourceFolder } from './source-folder.ts'

const POLL_MS = 5000
const DEFAULTS = { batching: 'auto', maxRows: 64, maxDelayMs: 0, intraOpThreads: 1 } as const

export class CompositeRig {
  readonly clock = new ManualClock({ wall: systemClock.wall() })
  readonly acme = this.#place()
  readonly others = this.#place()
  readonly events: Array<readonly [name: string, fields: Readonly<Record<string, unknown>>]> = []
  readonly registry = new CompositeRegistry(
    [
      { prefix: '', registry: this.others.registry },
      { prefix: 'acme', registry: this.acme.registry },
    ],
    (name, fields) => void this.events.push([name, fields]),
  )

  /** Where a publisher puts a model. */
  folderOf(name: string): SourceFolder {
    return (/^acme(?:\/|$)/.test(name) ? this.acme : this.others).folder
  }

  poll(): Promise<void> {
    return this.clock.advance(POLL_MS)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.registry.close()
    for (const { folder } of [this.acme, this.others]) await folder[Symbol.asyncDispose]()
  }

  #place() {
    const { clock } = this
    const folder = new SourceFolder()
    const scanner = new InlineScanner(clock)
    const options = { models: folder.path, pollMs: POLL_MS, settleMs: 0, defaults: DEFAULTS, clock }
    return { folder, scanner, registry: new FolderRegistry({ ...options, startScanner: scanner.start }) }
  }
}
