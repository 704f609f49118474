/**
 * A FolderRegistry on a made-up models folder and a clock that the test moves, with everything that it told.
 * Unless a test says otherwise, the clock is far enough ahead that what the test writes has settled.
 */
import assert from 'node:assert/strict'
import { type ErrorCode, GatewayError } from '../../src/domain/errors.ts'
import type { ModelRef } from '../../src/domain/model-ref.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { FolderRegistry } from '../../src/registry/folder-registry.ts'
import type { RegistryChange } from '../../src/registry/registry.ts'
import { InlineScanner } from './inline-scanner.ts'
import { ManualClock } from './manual-clock.ts'
import { SourceFolder } from './source-folder.ts'

const AHEAD_MS = 60_000

export class FolderRegistryRig {
  readonly pollMs = 5000
  readonly settleMs = 1000
  readonly folder = new SourceFolder()
  readonly clock = new ManualClock({ wall: systemClock.wall() + AHEAD_MS })
  readonly scanner = new InlineScanner(this.clock)
  readonly changes: RegistryChange[] = []
  readonly #events: Array<readonly [name: string, fields: Readonly<Record<string, unknown>>]> = []
  readonly registry = new FolderRegistry({
    models: this.folder.path,
    pollMs: this.pollMs,
    settleMs: this.settleMs,
    defaults: { batching: 'auto', maxRows: 64, maxDelayMs: 0, intraOpThreads: 1 },
    clock: this.clock,
    onEvent: (name, fields) => this.#events.push([name, fields]),
    startScanner: this.scanner.start,
  })

  constructor() {
    this.registry.onChange((change) => this.changes.push(change))
  }

  async startAndScan(): Promise<void> {
    await this.registry.start()
    this.scanner.scan()
  }

  poll(): Promise<void> {
    return this.clock.advance(this.pollMs)
  }

  settle(): Promise<void> {
    return this.clock.advance(this.settleMs)
  }

  /** The next poll comes right after what the test wrote last. */
  pollAtOnce(): Promise<void> {
    this.clock.jumpWall(systemClock.wall() - this.clock.wall() - this.pollMs)
    return this.poll()
  }

  /** The clock says what the machine's does: what the test writes now has not settled. */
  comeToThePresent(): void {
    this.clock.jumpWall(systemClock.wall() - this.clock.wall())
  }

  /** By an hour: how old a file is says nothing, only for how long it was seen unchanged. */
  fileServerIsAhead(): void {
    this.comeToThePresent()
    this.clock.jumpWall(-3_600_000)
  }

  events(name: string): Array<Readonly<Record<string, unknown>>> {
    return this.#events.filter(([event]) => event === name).map(([, fields]) => fields)
  }

  refusal(ref: ModelRef): GatewayError {
    try {
      this.registry.resolve(ref)
    } catch (error) {
      assert.ok(error instanceof GatewayError)
      return error
    }
    return assert.fail(`${ref.name} was resolved`)
  }

  refuses(ref: ModelRef, code: ErrorCode, message: RegExp): void {
    const error = this.refusal(ref)
    assert.equal(error.code, code)
    assert.match(error.message, message)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.registry.close()
    assert.equal(this.clock.pendingTimers, 0)
    await this.folder[Symbol.asyncDispose]()
  }
}
