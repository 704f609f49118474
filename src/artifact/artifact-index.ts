/**
 * What the cache folder holds, in memory: manifests, how many of them refer to a blob, who is in use and since when not. Manifests of
 * one family differ in little, so equal parts are kept once: 1 to 2 KB each at 10,000 artifacts.
 */
import type { BlobRef, Manifest } from '../domain/artifact.ts'

interface BlobCount {
  readonly ref: BlobRef
  references: number
}

interface Row {
  manifest: Manifest
  /** Bytes that go when it goes: graph or plain copy, without blobs. */
  ownBytes: number
  /** Monotonic; 0 = not used since start. */
  lastUsedMs: number
}

export class ArtifactIndex {
  readonly #rows = new Map<string, Row>()
  readonly #blobs = new Map<string, BlobCount>()
  /** By name, not in the row: an artifact may be removed and made again while somebody holds it. */
  readonly #holds = new Map<string, number>()
  readonly #shared = new Map<string, unknown>()
  #ownBytes = 0
  #blobBytes = 0

  get size(): number {
    return this.#rows.size
  }

  /** Bytes of all artifacts, each blob once. */
  get bytes(): number {
    return this.#ownBytes + this.#blobBytes
  }

  get(artifact: string): Manifest | undefined {
    return this.#rows.get(artifact)?.manifest
  }

  names(): MapIterator<string> {
    return this.#rows.keys()
  }

  /** Adds or replaces; returns the manifest as it is kept. `ownBytes`: bytes of the artifact without its blobs. */
  put(manifest: Manifest, ownBytes: number): Manifest {
    const old = this.#rows.get(manifest.artifact)
    const kept = this.#intern(manifest)
    for (const { digest, bytes } of kept.blobs) this.#retain(digest, bytes)
    if (old !== undefined) this.#release(old)
    this.#rows.set(manifest.artifact, { manifest: kept, ownBytes, lastUsedMs: old?.lastUsedMs ?? 0 })
    this.#ownBytes += ownBytes
    return kept
  }

  /** Returns the digests that nothing refers to any more. */
  remove(artifact: string): string[] {
    const row = this.#rows.get(artifact)
    if (row === undefined) return []
    this.#rows.delete(artifact)
    return this.#release(row)
  }

  /** Bytes of an artifact without its blobs, as `put` was told. */
  ownBytesOf(artifact: string): number {
    return this.#rows.get(artifact)?.ownBytes ?? 0
  }

  references(digest: string): number {
    return this.#blobs.get(digest)?.references ?? 0
  }

  touch(artifact: string, nowMs: number): void {
    const row = this.#rows.get(artifact)
    if (row !== undefined) row.lastUsedMs = nowMs
  }

  /** In use until the returned function was called; calling it twice does nothing. */
  hold(artifact: string, now: () => number): () => void {
    this.#holds.set(artifact, (this.#holds.get(artifact) ?? 0) + 1)
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      const left = (this.#holds.get(artifact) ?? 1) - 1
      if (left === 0) this.#holds.delete(artifact)
      else this.#holds.set(artifact, left)
      this.touch(artifact, now())
    }
  }

  isHeld(artifact: string): boolean {
    return this.#holds.has(artifact)
  }

  /** Artifacts that may go, the longest unused first, until at most `budgetBytes` would be left. Changes nothing. */
  chooseVictims(budgetBytes: number): string[] {
    if (this.bytes <= budgetBytes) return []
    const candidates = [...this.#rows]
      .filter(([artifact]) => !this.#holds.has(artifact))
      .toSorted(([, a], [, b]) => a.lastUsedMs - b.lastUsedMs)
    const counts = new Map<string, number>()
    const victims: string[] = []
    let left = this.bytes
    for (const [artifact, row] of candidates) {
      if (left <= budgetBytes) break
      victims.push(artifact)
      left -= row.ownBytes
      for (const { digest, bytes } of row.manifest.blobs) {
        const count = (counts.get(digest) ?? this.references(digest)) - 1
        counts.set(digest, count)
        if (count === 0) left -= bytes
      }
    }
    return victims
  }

  #retain(digest: string, bytes: number): void {
    const blob = this.#blobs.get(digest)
    if (blob !== undefined) {
      blob.references++
      return
    }
    this.#blobs.set(digest, { ref: { digest, bytes }, references: 1 })
    this.#blobBytes += bytes
  }

  #release({ manifest, ownBytes }: Row): string[] {
    const freed: string[] = []
    this.#ownBytes -= ownBytes
    for (const { digest } of manifest.blobs) {
      const blob = this.#blobs.get(digest)
      if (blob === undefined || --blob.references > 0) continue
      this.#blobs.delete(digest)
      this.#blobBytes -= blob.ref.bytes
      freed.push(digest)
    }
    return freed
  }

  /** Equal signatures and blob references become the same object. */
  #intern(manifest: Manifest): Manifest {
    const { fingerprint } = manifest
    return {
      ...manifest,
      fingerprint: {
        ...fingerprint,
        ortVersion: this.#share(fingerprint.ortVersion),
        cpu: this.#share(fingerprint.cpu),
        options: this.#share(fingerprint.options),
      },
      signature: this.#share(manifest.signature),
      blobs: manifest.blobs.map((blob) => this.#blobs.get(blob.digest)?.ref ?? blob),
    }
  }

  /** Families are few; what strays is bounded so that a million odd signatures are not kept for ever. */
  #share<T>(value: T): T {
    const key = JSON.stringify(value)
    const known = this.#shared.get(key)
    if (known !== undefined) return known as T
    if (this.#shared.size < MAX_SHARED) this.#shared.set(key, value)
    return value
  }
}

const MAX_SHARED = 4096
