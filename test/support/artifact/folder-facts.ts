/** What lies in a cache folder, looked at from outside: for tests of what kills and full disks leave behind. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Manifest } from '../../../src/domain/artifact.ts'

/** Files and folders that are neither artifacts nor staging. */
const KEPT = new Set(['blobs', 'tmp', 'owner', 'journal', 'quarantine', 'sources.jsonl', 'replica-id'])

export function manifestsIn(cache: string): Manifest[] {
  return readdirSync(cache)
    .filter((name) => /^[0-9a-f]{32}[.]json$/.test(name))
    .map((name) => JSON.parse(readFileSync(join(cache, name), 'utf8')) as Manifest)
}

export function blobsIn(cache: string): string[] {
  const blobs = join(cache, 'blobs')
  return existsSync(blobs) ? readdirSync(blobs).flatMap((prefix) => readdirSync(join(blobs, prefix))) : []
}

/** Everything that is half there: what no manifest names, what a manifest names and is not there, and what nobody knows. Not staging. */
export function problemsIn(cache: string): string[] {
  const manifests = manifestsIn(cache)
  const referenced = new Set(manifests.flatMap(({ blobs }) => blobs.map(({ digest }) => digest)))
  const own = new Set(
    manifests.flatMap(({ artifact }) => [`${artifact}.json`, `${artifact}.onnx`, `${artifact}.plain`]),
  )
  const missing = manifests.flatMap(({ file, graph, files = [], blobs }) => [
    ...[{ path: file, bytes: graph.bytes }, ...files].filter(({ path, bytes }) => sizeOf(cache, path) !== bytes),
    ...blobs
      .map(({ digest, bytes }) => ({ path: `blobs/${digest.slice(0, 2)}/${digest}`, bytes }))
      .filter(({ path, bytes }) => sizeOf(cache, path) !== bytes),
  ])
  return [
    ...readdirSync(cache)
      .filter((name) => !KEPT.has(name) && !own.has(name))
      .map((name) => `${name} has no manifest`),
    ...blobsIn(cache)
      .filter((digest) => !referenced.has(digest))
      .map((digest) => `blob ${digest} is named by nothing`),
    ...missing.map(({ path }) => `${path} is named and not there`),
  ]
}

/** What lies in staging. */
export function stagedIn(cache: string): string[] {
  return readdirSync(join(cache, 'tmp'), { recursive: true, encoding: 'utf8' })
}

function sizeOf(cache: string, path: string): number | undefined {
  return statSync(join(cache, path), { throwIfNoEntry: false })?.size
}
