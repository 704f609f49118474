/**
 * Keeps a scanner going: a look at everything, a pause of `pollMs`, the next look; files that are still changing are looked at
 * again after `settleMs`; names that somebody waits for come first.
 */
import type { Clock, Timer } from '../lib/clock.ts'
import { FolderScanner } from './folder-scanner.ts'
import type { ScannerCommand, ScannerMessage, ScannerOptions } from './scan-messages.ts'

/** Files that keep changing are not looked at more often than this, however short `settleMs` is. */
const MIN_RECHECK_MS = 10

export class ScanLoop {
  readonly #scanner: FolderScanner
  readonly #options: ScannerOptions
  readonly #clock: Clock
  readonly #nextCommand: () => ScannerCommand | undefined
  #scanTimer: Timer | undefined
  #recheckTimer: Timer | undefined
  #isClosed = false

  /** `nextCommand` gives what has arrived and was not handled yet; it is asked between folders. */
  constructor(
    options: ScannerOptions,
    clock: Clock,
    say: (message: ScannerMessage) => void,
    nextCommand: () => ScannerCommand | undefined,
  ) {
    this.#options = options
    this.#clock = clock
    this.#nextCommand = nextCommand
    this.#scanner = new FolderScanner(options, clock, say)
  }

  /** The first look happens before this returns. */
  start(): void {
    if (this.#isClosed) return
    this.#scanner.scan(() => this.#obeyAll())
    this.#obeyAll()
    this.#scheduleRecheck()
    this.#scanTimer = this.#clock.after(this.#options.pollMs, () => this.start())
  }

  handle(command: ScannerCommand): void {
    if (this.#isClosed) return
    this.#scanner.look(command.name)
    this.#scheduleRecheck()
  }

  close(): void {
    this.#isClosed = true
    this.#scanTimer?.cancel()
    this.#recheckTimer?.cancel()
  }

  #obeyAll(): void {
    for (let command = this.#nextCommand(); command !== undefined; command = this.#nextCommand())
      this.#scanner.look(command.name)
  }

  #scheduleRecheck(): void {
    if (this.#recheckTimer !== undefined || !this.#scanner.hasUnsettled) return
    this.#recheckTimer = this.#clock.after(Math.max(this.#options.settleMs, MIN_RECHECK_MS), () => {
      this.#recheckTimer = undefined
      this.#scanner.recheck()
      this.#scheduleRecheck()
    })
  }
}
