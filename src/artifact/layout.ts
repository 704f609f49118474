/**
 * Names inside a cache folder, which is the database:
 *
 *   <artifact>.json    manifest, written last: what has none is rubbish
 *   <artifact>.onnx    graph of a mapped artifact; refers to blobs by relative path
 *   <artifact>.plain/  copy of the original, for what could not be compiled
 *   blobs/<aa>/<sha256>  tensors, shared
 *   tmp/               staging, on the same file system so that rename works
 *   staging/           sources fetched from elsewhere, and who is at them; the store's, not this room's
 *   journal/           what happened here, written by the process and not by this room
 *   owner/             whose folder it is, and where to ask
 *   quarantine/        models that are refused, one file each
 *   sources.jsonl      which source bytes a source id stood for, so that a restart digests nothing again
 */
export const blobsFolder = 'blobs'
export const stagingFolder = 'tmp'
export const ownerFolder = 'owner'
export const quarantineFolder = 'quarantine'
export const sourcesFile = 'sources.jsonl'

export function manifestFile(artifact: string): string {
  return `${artifact}.json`
}

export function graphFile(artifact: string): string {
  return `${artifact}.onnx`
}

export function plainFolder(artifact: string): string {
  return `${artifact}.plain`
}

export function blobPath(digest: string): string {
  return `${blobsFolder}/${digest.slice(0, 2)}/${digest}`
}

/** Every `<aa>` there is. */
export const BLOB_PREFIXES: readonly string[] = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'))

const ARTIFACT_ENTRY = /^([0-9a-f]{32})\.(json|onnx|plain)$/

/** What an entry of the cache folder is; undefined: none of ours. */
export function parseEntry(
  name: string,
): { readonly artifact: string; readonly kind: 'json' | 'onnx' | 'plain' } | undefined {
  const match = ARTIFACT_ENTRY.exec(name)
  return match?.[1] === undefined ? undefined : { artifact: match[1], kind: match[2] as 'json' | 'onnx' | 'plain' }
}

const DIGEST = /^[0-9a-f]{64}$/

export function isDigest(text: string): boolean {
  return DIGEST.test(text)
}
