/** The registry's end of the scanner: a worker thread that is started again, with back-off, when it dies. */
import { Worker } from 'node:worker_threads'
import { backoffMs } from '../lib/backoff.ts'
import type { Clock, Timer } from '../lib/clock.ts'
import type { ScannerCommand, ScannerMessage, ScannerOptions } from './scan-messages.ts'

export interface ScannerHandlers {
  /** A scanner begins from nothing: it is going to report everything that there is. */
  onStart(): void
  onMessage(message: ScannerMessage): void
  onDied(error: unknown): void
}

export interface ScannerLink {
  send(command: ScannerCommand): void
  /** Nothing is said after it resolved. Idempotent. */
  close(): Promise<void>
}

export type StartScanner = (options: ScannerOptions, handlers: ScannerHandlers) => ScannerLink

/** Far more than a million models take; a runaway scanner must not take the server's memory. */
const HEAP_LIMIT_MIB = 1024
const RESTART = { baseMs: 500, maxMs: 60_000 }

export class ScannerThread implements ScannerLink {
  readonly #options: ScannerOptions
  readonly #handlers: ScannerHandlers
  readonly #clock: Clock
  #worker: Worker | undefined
  #restart: Timer | undefined
  #deaths = 0
  #isClosed = false

  constructor(options: ScannerOptions, handlers: ScannerHandlers, clock: Clock) {
    this.#options = options
    this.#handlers = handlers
    this.#clock = clock
    this.#start()
  }

  send(command: ScannerCommand): void {
    this.#worker?.postMessage(command)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#restart?.cancel()
    await this.#worker?.terminate()
  }

  #start(): void {
    this.#handlers.onStart()
    // The entry is a sibling of this module, in source and in the packed form alike.
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
    const worker = new Worker(new URL(`./scanner-main.${extension}`, import.meta.url), {
      name: 'registry-scanner',
      workerData: this.#options,
      env: {},
      resourceLimits: { maxOldGenerationSizeMb: HEAP_LIMIT_MIB },
    })
    this.#worker = worker
    let error: unknown
    worker.on('message', (message: ScannerMessage) => {
      if (message.kind === 'scanned') this.#deaths = 0
      if (!this.#isClosed) this.#handlers.onMessage(message)
    })
    worker.on('error', (reason) => {
      error = reason
    })
    worker.on('exit', () => {
      this.#worker = undefined
      if (this.#isClosed) return
      this.#handlers.onDied(error)
      this.#deaths++
      this.#restart = this.#clock.after(
        backoffMs(this.#deaths, RESTART, () => 1),
        () => this.#start(),
      )
    })
  }
}
