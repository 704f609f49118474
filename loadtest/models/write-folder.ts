/**
 * Writes many customers' models as one folder in Triton's layout, `<root>/<name>/<version>/model.onnx`.
 * A marker file per set in the root says what is there: asked again for the same set it writes only what is missing, asked for another
 * set of the same names it first removes the models that the marker lists, and nothing else.
 */
import { renameSync, writeFileSync } from 'node:fs'
import { mkdir, readFile, rm, rmdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { ClassName, Family, ModelClass } from './model-class.ts'
import { writeModel } from './onnx-writer.ts'

/** Grows when the same recipe would give other bytes than before. */
const FORMAT = 1

/** Models in the making at once: enough to keep the disk's queue busy, few enough for 4 x 100 MB. */
const CONCURRENCY = 4

/** After so many models the marker is brought up to date, so that an interrupted run resumes near its end. */
const MODELS_PER_MARK = 256

export interface ModelSet {
  readonly family: Family
  readonly seed: number
  /** Customers 1 to `customers` are written. */
  readonly customers: number
  /** Tenant part of the names; sets of one root need different prefixes or models. Default `customer`. */
  readonly prefix?: string
  /** Model part of the names. Default `churn`. */
  readonly model?: string
}

export interface WriteProgress {
  readonly done: number
  readonly total: number
  /** Bytes written so far by this call. */
  readonly bytes: number
}

export interface WrittenFolder {
  /** Model names, customer 1 first. */
  readonly names: readonly string[]
  readonly written: number
  readonly skipped: number
  readonly bytes: number
}

interface Marker {
  readonly format: number
  readonly className: ClassName
  readonly family: Family
  readonly seed: number
  /** Customers up to this one may be on disk. */
  readonly customers: number
  /** Customers 1 to `complete` are on disk, whole. */
  readonly complete: number
}

/** `customer-0017/churn` for customer 17. */
export function modelName(customer: number, { prefix = 'customer', model = 'churn' }: Partial<ModelSet> = {}): string {
  return `${prefix}-${String(customer).padStart(4, '0')}/${model}`
}

/**
 * Writes version 1 of every model of the set below `root`; customers beyond it, from an earlier call, stay. `onProgress` is called after
 * every model, and once when all were there. One call at a time per root.
 */
export async function writeFolder(
  root: string,
  zooClass: ModelClass,
  set: ModelSet,
  onProgress: (progress: WriteProgress) => void = () => {},
): Promise<WrittenFolder> {
  await mkdir(root, { recursive: true })
  const total = set.customers
  const marker = await matchingMarker(root, zooClass, set)
  const skipped = Math.min(marker.complete, total)
  const names = Array.from({ length: total }, (_, i) => modelName(i + 1, set))
  if (skipped === total) {
    onProgress({ done: total, total, bytes: 0 })
    return { names, written: 0, skipped, bytes: 0 }
  }

  const customers = Math.max(total, marker.customers)
  const path = markerPath(root, set)
  mark(path, { ...marker, customers })
  const finished = new Set<number>()
  let { complete } = marker
  let next = skipped + 1
  let done = skipped
  let bytes = 0
  const lane = async (): Promise<void> => {
    while (next <= total) {
      const customer = next
      next += 1
      const model = zooClass.build({ customer, family: set.family, seed: set.seed })
      const written = await writeModel(join(root, modelName(customer, set), '1', 'model.onnx'), model)
      bytes += written
      finished.add(customer)
      while (finished.delete(complete + 1)) complete += 1
      done += 1
      if (done % MODELS_PER_MARK === 0) mark(path, { ...marker, customers, complete })
      onProgress({ done, total, bytes })
    }
  }
  const stopOthers = (error: unknown): never => {
    next = total + 1
    throw error
  }
  const lanes = Array.from({ length: CONCURRENCY }, () => lane().catch(stopOthers))
  // Every lane comes to an end before the call does, so that nobody else meets its files half written.
  await Promise.allSettled(lanes)
  mark(path, { ...marker, customers, complete })
  await Promise.all(lanes)
  return { names, written: total - skipped, skipped, bytes }
}

/** The marker of the set as it is on disk, or a fresh one once a set of the same names but another recipe is removed. */
async function matchingMarker(root: string, { name }: ModelClass, set: ModelSet): Promise<Marker> {
  const { family, seed } = set
  const fresh = { format: FORMAT, className: name, family, seed, customers: 0, complete: 0 }
  const found = await readMarker(markerPath(root, set))
  if (found === undefined) return fresh
  const matches = found.format === FORMAT && found.className === name && found.family === family && found.seed === seed
  if (matches) return found
  for (let customer = 1; customer <= found.customers; customer += 1) {
    const path = join(root, modelName(customer, set))
    await rm(path, { recursive: true, force: true })
    await removeIfEmpty(dirname(path))
  }
  return fresh
}

/** A tenant's folder goes with its last model; one that holds other things, or is not there, is left alone. */
async function removeIfEmpty(path: string): Promise<void> {
  try {
    await rmdir(path)
  } catch (error) {
    if (!hasCode(error, 'ENOTEMPTY') && !hasCode(error, 'ENOENT')) throw error
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}

async function readMarker(path: string): Promise<Marker | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Marker
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

/** Synchronous, so that lanes cannot overtake each other with an older state; renamed into place, so that it is never half a file. */
function mark(path: string, marker: Marker): void {
  const partial = `${path}.partial`
  writeFileSync(partial, `${JSON.stringify(marker)}\n`)
  renameSync(partial, path)
}

function markerPath(root: string, { prefix = 'customer', model = 'churn' }: ModelSet): string {
  return join(root, `.${prefix}-${model}.recipe.json`)
}
