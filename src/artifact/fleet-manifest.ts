/**
 * Manifests as machines of a fleet hand them on. One that comes from elsewhere is held against everything that this machine would
 * write, so that what is taken over can name no file but the artifact's own.
 */
import { z } from 'zod'
import type { Manifest, ProbeResult } from '../domain/artifact.ts'
import type { Datatype } from '../domain/tensor-types.ts'
import { isDatatype } from '../domain/tensor-types.ts'
import { locationProblem } from './external-files.ts'
import { blobKey, ownKey } from './fleet-place.ts'
import { blobPath, graphFile, isDigest, plainFolder } from './layout.ts'
import { artifactName } from './manifest.ts'

/** Far more than ten thousand blobs and a signature take. */
export const MANIFEST_MAX_BYTES = 16 * 2 ** 20
export const PROBE_MAX_BYTES = 64 * 2 ** 10
const MAX_FILES = 100_000
const MAX_TENSORS = 10_000
const MAX_DIMENSIONS = 64
const MAX_TEXT = 4096

const text = z.string().max(MAX_TEXT)
const bytes = z.int().nonnegative()
const amount = z.number().nonnegative()
const digest = z.string().refine(isDigest)
const tensors = z
  .array(
    z.object({
      name: text,
      datatype: z.custom<Datatype>((value) => typeof value === 'string' && isDatatype(value)),
      shape: z.array(z.union([z.int().min(-1), text])).max(MAX_DIMENSIONS),
    }),
  )
  .max(MAX_TENSORS)

const probeSchema = z.object({
  isBatchSafe: z.boolean(),
  batchReason: text,
  privateBytes: amount,
  activationBytes: z.tuple([amount, amount]),
  runMs: amount,
  mappings: amount,
  packed: z.object({ openMs: amount, runMs: amount, privateBytes: amount, paysAfterRuns: amount.nullable() }),
})

/** Fields that are not listed are dropped. */
const manifestSchema = z.object({
  format: z.literal(1),
  artifact: text,
  fingerprint: z.object({ source: digest, ortVersion: text, provider: text, cpu: text, options: text }),
  form: z.enum(['mapped', 'plain']),
  plainReason: text.exactOptional(),
  file: text,
  graph: z.object({ digest, bytes }),
  blobs: z.array(z.object({ digest, bytes })).max(MAX_FILES),
  files: z
    .array(z.object({ path: text, digest, bytes }))
    .max(MAX_FILES)
    .exactOptional(),
  signature: z.object({ inputs: tensors, outputs: tensors }),
  check: z.enum(['generated', 'given', 'first-request']),
  madeUp: z.enum(['drawn', 'ones', 'none']).exactOptional(),
  needsCpu: z.boolean().exactOptional(),
  timings: z.record(text, amount),
  privateBytes: amount,
})

/** A file of an artifact: where it lies here, relative to the cache folder, and there. */
export interface FleetFile {
  readonly path: string
  readonly key: string
  readonly digest: string
  readonly bytes: number
  /** With other artifacts, under its digest. */
  readonly isShared: boolean
}

/** What others may take over; undefined for an artifact whose answers nobody has compared yet: each machine has to do so by itself. */
export function manifestText({ probe: _probe, ...manifest }: Manifest): string | undefined {
  return manifest.form === 'mapped' && manifest.check === 'first-request' ? undefined : JSON.stringify(manifest)
}

/** Undefined for what this machine would not have written itself. */
export function readFleetManifest(json: string, artifact: string): Manifest | undefined {
  const { success, data } = manifestSchema.safeParse(parsed(json))
  if (!success) return undefined
  if (data.artifact !== artifact || artifactName(data.fingerprint) !== artifact) return undefined
  return hasOwnPaths(data) ? data : undefined
}

export function readFleetProbe(json: string): ProbeResult | undefined {
  return probeSchema.safeParse(parsed(json)).data
}

/** Own files first, the one to open before all others. */
export function filesOf({ artifact, file, graph, files = [], blobs }: Manifest): FleetFile[] {
  return [
    { path: file, key: ownKey(artifact, graph.digest), ...graph, isShared: false },
    ...files.map((own) => ({ ...own, key: ownKey(artifact, own.digest), isShared: false })),
    ...blobs.map((blob) => ({ path: blobPath(blob.digest), key: blobKey(blob.digest), ...blob, isShared: true })),
  ]
}

function hasOwnPaths({ artifact, form, file, files = [], blobs }: Manifest): boolean {
  if (form === 'mapped') return file === graphFile(artifact) && files.length === 0
  const folder = `${plainFolder(artifact)}/`
  const paths = [file, ...files.map(({ path }) => path)]
  return (
    blobs.length === 0 &&
    new Set(paths).size === paths.length &&
    paths.every((path) => path.startsWith(folder) && locationProblem(path.slice(folder.length)) === undefined)
  )
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return undefined
  }
}
