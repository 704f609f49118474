/**
 * For work that nobody waits for because it handles its own failures: should one escape after all, that is a bug, and it ends
 * the process as any uncaught error does instead of vanishing.
 */
export function detach(work: Promise<unknown>): void {
  work.catch((bug: unknown) => {
    queueMicrotask(() => {
      throw bug
    })
  })
}
