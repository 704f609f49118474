/** What the registry knows of one version of one model, and how its owner wants it run. */

/** The owner's wishes for a model, from its `modelmux.yaml`; every field has a default in the configuration's schema. */
export interface ModelSettings {
  readonly batching: {
    /** `auto`: stack requests when the probe found it safe; `off`: never. */
    readonly mode: 'auto' | 'off'
    /** Rows in one stacked run at most. */
    readonly maxRows: number
    /** How long a request may wait for company when its worker is free, in milliseconds; 0 = not at all. */
    readonly maxDelayMs: number
  }
  readonly intraOpThreads: number
  /** Warm-up inputs as inference requests in JSON, or as MLflow's examples, run once after each open; also the probe's inputs. */
  readonly warmUp: readonly unknown[]
  /** Deadline of a request that brings none, in milliseconds; undefined = the server's default. */
  readonly deadlineMs?: number
}

/** A file of a version. */
export interface SourceFile {
  /** Path relative to the version's folder, with forward slashes. */
  readonly path: string
  readonly bytes: number
}

/** One immutable version. A changed file under the same number is another `sourceId`, hence another `key`. */
export interface ModelVersion {
  /** `name:version#sourceId`: the ModelKey, unique for these bytes under this name. */
  readonly key: string
  readonly name: string
  readonly version: string
  readonly tenant: string
  /** The registry's identity of the source bytes (hex); for a folder a digest over path, size, mtime, ctime and inode of its files. */
  readonly sourceId: string
  /** Path of the model file relative to the version's folder (`model.onnx`, or `model.ort` where allowed). */
  readonly modelFile: string
  /** Bytes of all files together. */
  readonly bytes: number
  readonly settings: ModelSettings
}

export function modelKey(name: string, version: string, sourceId: string): string {
  return `${name}:${version}#${sourceId}`
}

/** The parts of what `modelKey` made; undefined for any other text. */
export function parseModelKey(
  key: string,
): { readonly name: string; readonly version: string; readonly sourceId: string } | undefined {
  const [, name, version, sourceId] = /^([^:#]+):([0-9]+)#([0-9a-f]+)$/.exec(key) ?? []
  return name === undefined || version === undefined || sourceId === undefined ? undefined : { name, version, sourceId }
}
