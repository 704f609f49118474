/**
 * Which blobs are in memory, counted by digest over everyone who holds them: bytes that many models share are charged once.
 * A holder is in one phase; the blob is charged to the strongest phase of its holders, so that kinds never overlap.
 */
import type { BlobRef } from '../domain/artifact.ts'

/** `awaiting` holders want a blob that they may not have yet: they keep it from being given up, and do not make it used. */
export type HoldPhase = 'resident' | 'reserved' | 'leaving' | 'awaiting'

interface Blob {
  readonly bytes: number
  readonly holders: Record<HoldPhase, number>
}

const IN_MEMORY: readonly HoldPhase[] = ['resident', 'reserved', 'leaving']

export class BlobCounts {
  readonly #blobs = new Map<string, Blob>()
  readonly #bytes: Record<HoldPhase, number> = { resident: 0, reserved: 0, leaving: 0, awaiting: 0 }
  #staying = 0

  /** Bytes charged to a phase: blobs whose strongest holder is in it. */
  bytesIn(phase: HoldPhase): number {
    return this.#bytes[phase]
  }

  /** Bytes of blobs that somebody holds who is not leaving. */
  get stayingBytes(): number {
    return this.#staying
  }

  /** Bytes of `blobs` that nobody has in memory. */
  absentBytes(blobs: readonly BlobRef[]): number {
    let bytes = 0
    for (const { digest, bytes: size } of blobs) if (!this.#isInMemory(this.#blobs.get(digest))) bytes += size
    return bytes
  }

  /** Holders that are not leaving. */
  stayingHolders(digest: string): number {
    const blob = this.#blobs.get(digest)
    return blob === undefined ? 0 : staying(blob)
  }

  /** `blobs` must not name a digest twice. */
  hold(blobs: readonly BlobRef[], phase: HoldPhase): void {
    for (const { digest, bytes } of blobs) this.#change(digest, bytes, phase, 1)
  }

  drop(blobs: readonly BlobRef[], phase: HoldPhase): void {
    for (const { digest, bytes } of blobs) this.#change(digest, bytes, phase, -1)
  }

  get size(): number {
    return this.#blobs.size
  }

  #change(digest: string, bytes: number, phase: HoldPhase, by: 1 | -1): void {
    let blob = this.#blobs.get(digest)
    if (blob === undefined) {
      blob = { bytes, holders: { resident: 0, reserved: 0, leaving: 0, awaiting: 0 } }
      this.#blobs.set(digest, blob)
    }
    if (blob.holders[phase] + by < 0) throw new Error(`blob ${digest} has no ${phase} holder to drop`)
    this.#charge(blob, -1)
    blob.holders[phase] += by
    this.#charge(blob, 1)
    if (strongest(blob) === undefined) this.#blobs.delete(digest)
  }

  #charge(blob: Blob, sign: 1 | -1): void {
    const phase = strongest(blob)
    if (phase !== undefined) this.#bytes[phase] += sign * blob.bytes
    if (staying(blob) > 0) this.#staying += sign * blob.bytes
  }

  #isInMemory(blob: Blob | undefined): boolean {
    return blob !== undefined && IN_MEMORY.some((phase) => blob.holders[phase] > 0)
  }
}

function strongest({ holders }: Blob): HoldPhase | undefined {
  if (holders.resident > 0) return 'resident'
  if (holders.reserved > 0) return 'reserved'
  if (holders.leaving > 0) return 'leaving'
  return holders.awaiting > 0 ? 'awaiting' : undefined
}

function staying({ holders }: Blob): number {
  return holders.resident + holders.reserved + holders.awaiting
}
