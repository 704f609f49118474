/**
 * The registry's scanner in the test's own thread, on the test's clock: it looks when it is told to or when time is moved.
 * Messages cross by structured clone, as they do between threads.
 */
import type { Clock } from '../../src/lib/clock.ts'
import { ScanLoop } from '../../src/registry/scan-loop.ts'
import type { ScannerCommand } from '../../src/registry/scan-messages.ts'
import type { ScannerHandlers, StartScanner } from '../../src/registry/scanner-link.ts'

export class InlineScanner {
  readonly #clock: Clock
  readonly #commands: ScannerCommand[] = []
  #loop: ScanLoop | undefined
  #handlers: ScannerHandlers | undefined
  #make: (() => ScanLoop) | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Names that were asked for and not looked at yet. */
  get asked(): readonly string[] {
    return this.#commands.map(({ name }) => name)
  }

  readonly start: StartScanner = (options, handlers) => {
    this.#handlers = handlers
    this.#make = () => {
      handlers.onStart()
      return new ScanLoop(
        options,
        this.#clock,
        (message) => handlers.onMessage(structuredClone(message)),
        () => this.#commands.shift(),
      )
    }
    this.#loop = this.#make()
    return {
      send: (command) => void this.#commands.push(command),
      close: () => {
        this.#loop?.close()
        return Promise.resolve()
      },
    }
  }

  /** The first look at everything; further ones come as time passes. */
  scan(): void {
    this.#loop?.start()
  }

  /** Looks at the names that were asked for. */
  answer(): void {
    for (let command = this.#commands.shift(); command !== undefined; command = this.#commands.shift()) {
      this.#loop?.handle(command)
    }
  }

  /** The scanner dies and another one takes its place; `scan` makes it look. */
  dieAndRestart(): void {
    this.#loop?.close()
    this.#handlers?.onDied(new Error('out of memory'))
    this.#loop = this.#make?.()
  }
}
