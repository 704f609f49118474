/** Takes a model file apart for whoever publishes it: the rewriting of a compile, with tensors left where they are and only digested. */
import { hash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BlobRef } from '../domain/artifact.ts'
import { printable } from '../domain/model-ref.ts'
import type { SplitCall, SplitModel, SplitTensor } from '../domain/split-model.ts'
import { ExternalWindows } from './external-windows.ts'
import { blobPath } from './layout.ts'
import { digestWindow, withFile } from './range-reader.ts'
import { refusal } from './refusal.ts'
import { writeMoved } from './rewrite.ts'
import type { TensorSink } from './tensor-sink.ts'
import { walkModel } from './walk.ts'
import type { TensorHeader } from './walk-tensor.ts'
import type { ByteWindow } from './wire.ts'
import { WireError } from './wire.ts'

/** @throws GatewayError ARTIFACT_INVALID; errors of the file system */
export function splitModel(call: SplitCall, onBytes: (bytes: number) => void): SplitModel {
  const { dir, modelFile, files, graphFile, minBytes } = call
  const paths = new Map(files.map((path) => [path, join(dir, path)]))
  const external = new TrackedWindows(paths)
  const sink = new TensorPlaces(call, external, onBytes)
  try {
    const graph = withFile(
      join(dir, modelFile),
      (window) => {
        external.places.set(window, join(dir, modelFile))
        return writeMoved(window, graphFile, { blobs: sink, minBytes, external })
      },
      0,
    )
    checkWhole(call, sink)
    return { graph: { bytes: graph.bytes, sha256: graph.digest }, tensors: sink.tensors, dataFiles: external.used }
  } catch (error) {
    if (!(error instanceof WireError) && !(error instanceof RangeError)) throw error
    throw refusal(`${modelFile} is not a whole ONNX model: ${error.message}`, undefined, error)
  } finally {
    external.close()
  }
}

/** Remembers which file a window is over. */
class TrackedWindows {
  readonly places = new Map<ByteWindow, string>()
  readonly #windows: ExternalWindows
  readonly #paths: ReadonlyMap<string, string>
  readonly #used = new Set<string>()

  constructor(paths: ReadonlyMap<string, string>) {
    this.#windows = new ExternalWindows(paths)
    this.#paths = paths
  }

  /** Locations that were asked for. */
  get used(): readonly string[] {
    return [...this.#used]
  }

  get(location: string): ByteWindow {
    const window = this.#windows.get(location)
    const path = this.#paths.get(location)
    if (window === undefined || path === undefined)
      throw refusal(`the model names the data file '${printable(location)}', which is not a file of its folder`)
    this.#used.add(location)
    this.places.set(window, path)
    return window
  }

  close(): void {
    this.#windows.close()
  }
}

class TensorPlaces implements TensorSink {
  readonly #call: SplitCall
  readonly #external: TrackedWindows
  readonly #onBytes: (bytes: number) => void
  readonly #tensors = new Map<string, SplitTensor>()

  constructor(call: SplitCall, external: TrackedWindows, onBytes: (bytes: number) => void) {
    this.#call = call
    this.#external = external
    this.#onBytes = onBytes
  }

  get tensors(): readonly SplitTensor[] {
    return [...this.#tensors.values()]
  }

  /** By the path that the graph has for it. */
  find(path: string): SplitTensor | undefined {
    const tensor = this.#tensors.get(path.slice(path.lastIndexOf('/') + 1))
    return tensor?.path === path ? tensor : undefined
  }

  putRange(window: ByteWindow, start: number, end: number): BlobRef {
    const file = this.#external.places.get(window)
    if (file === undefined) throw new Error('a tensor lies in a file that nobody opened')
    return this.#note(digestWindow(window, start, end), end - start, file, start)
  }

  putBytes(bytes: Uint8Array): BlobRef {
    const digest = hash('sha256', bytes, 'hex')
    const file = join(this.#call.workDir, digest)
    if (!this.#tensors.has(digest)) writeFileSync(file, bytes)
    return this.#note(digest, bytes.length, file, 0)
  }

  #note(digest: string, bytes: number, file: string, from: number): BlobRef {
    this.#onBytes(bytes)
    if (!this.#tensors.has(digest))
      this.#tensors.set(digest, { path: blobPath(digest), sha256: digest, bytes, file, from })
    return { digest, bytes }
  }
}

/** What nobody moved still refers to a file that will not be there: told here, not by the first request. */
function checkWhole({ graphFile, maxNodes, extraDomains }: SplitCall, sink: TensorPlaces): void {
  const check = ({ name, external, bytes }: TensorHeader): void => {
    if (external === undefined) return
    if (sink.find(external.location)?.bytes !== bytes)
      throw refusal(`tensor '${printable(name)}' lies in '${printable(external.location)}' and cannot be shared`)
  }
  withFile(graphFile, (window) => walkModel(window, { check }, { maxNodes, extraDomains }))
}
