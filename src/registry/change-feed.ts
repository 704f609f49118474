/** Who wants to know of changes in a registry, and the telling. */
import type { RegistryChange, RegistryEventSink } from './registry.ts'

export class ChangeFeed {
  readonly #listeners = new Set<(change: RegistryChange) => void>()
  readonly #onEvent: RegistryEventSink

  constructor(onEvent: RegistryEventSink) {
    this.#onEvent = onEvent
  }

  /** Calls the listener for each change until the returned function is called. */
  listen(listener: (change: RegistryChange) => void): () => void {
    // A wrapper, so that the same function given twice is two listeners.
    const entry = (change: RegistryChange) => listener(change)
    this.#listeners.add(entry)
    return () => void this.#listeners.delete(entry)
  }

  publish(change: RegistryChange): void {
    for (const listener of this.#listeners) {
      try {
        listener(change)
      } catch (error) {
        // One listener's fault must keep neither the others nor the table from the news.
        this.#onEvent('registry.listener_failed', {
          error: error instanceof Error ? (error.stack ?? error.message) : String(error),
        })
      }
    }
  }
}
