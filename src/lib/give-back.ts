/** Memory outside the heap, given back when its owner is done with it instead of when it is collected. */

/**
 * Frees the memory of `bytes`, which are empty from then on. Only bytes that have a buffer of their own: of others it is not known who
 * else uses it. Nobody may be reading or writing them any more. The collector counts such memory and starts a full collection for every
 * few dozen megabytes: five for an object of 100 MB, which took a third of the time of its fetch.
 */
export function giveBack({ buffer, byteLength }: Uint8Array): void {
  if (byteLength === buffer.byteLength && buffer instanceof ArrayBuffer) buffer.transfer(0)
}
