/** Resolves once everything else that is due had its turn of the event loop: between the pieces of what would hold it up. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}
