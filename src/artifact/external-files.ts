/**
 * Where a model's external data may lie: in regular files inside the version's own folder, reached through no link that leaves it.
 * ONNX Runtime refuses most escapes itself but follows a hard link to any file of the machine, so links are counted here.
 */
import { lstatSync, realpathSync } from 'node:fs'
import { dirname, join, sep } from 'node:path'
import { printable } from '../domain/model-ref.ts'
import { refusal } from './refusal.ts'
import type { TensorHeader } from './walk-tensor.ts'

/** Marker by which ONNX Runtime takes an address of its own memory for a location. */
const MEMORY_MARKER = '_ORT_MEM_ADDR_'

/** A file that holds external data of the model. */
export interface ExternalFile {
  /** Path relative to the model file's folder, as the graph names it. */
  readonly location: string
  /** Absolute path. */
  readonly path: string
  readonly bytes: number
}

/** Judges locations as tensors name them; looks at each file once. */
export class ExternalFiles {
  readonly #root: string
  readonly #base: string
  readonly #allowHardLinks: boolean
  readonly #files = new Map<string, ExternalFile>()

  /** `root`: the version's folder, which nothing may leave; `modelPath`: absolute path of the model file. */
  constructor(root: string, modelPath: string, { allowHardLinks }: { readonly allowHardLinks: boolean }) {
    this.#root = realpathSync(root)
    this.#base = dirname(modelPath)
    this.#allowHardLinks = allowHardLinks
  }

  /** In order of first use. */
  get files(): readonly ExternalFile[] {
    return [...this.#files.values()]
  }

  /** Checks that the tensor's values are where it says. @throws GatewayError ARTIFACT_INVALID */
  check(tensor: TensorHeader): void {
    const { external, bytes } = tensor
    if (external === undefined) return
    const name = printable(tensor.name)
    const location = printable(external.location)
    if (bytes === undefined)
      throw refusal(`tensor '${name}' keeps strings in the external file '${location}', which ONNX does not allow`)
    const file = this.#find(external.location, name)
    const length = external.length ?? bytes
    if (length !== bytes)
      throw refusal(`tensor '${name}' declares ${length} external bytes, but its shape needs ${bytes}`)
    if (external.offset + length > file.bytes) {
      throw refusal(
        `tensor '${name}' reads bytes ${external.offset} to ${external.offset + length} of '${location}', which has ${file.bytes}; upload the whole file`,
      )
    }
  }

  #find(location: string, tensor: string): ExternalFile {
    const known = this.#files.get(location)
    if (known !== undefined) return known
    const problem = locationProblem(location)
    if (problem !== undefined)
      throw refusal(
        `tensor '${tensor}' names the external file '${printable(location)}': ${problem}; external data must be a file beside the model`,
      )
    const path = join(this.#base, location)
    const file = { location, path, bytes: this.#inspect(path, location) }
    this.#files.set(location, file)
    return file
  }

  #inspect(path: string, location: string): number {
    const shown = printable(location)
    let real: string
    try {
      real = realpathSync(path)
    } catch (cause) {
      throw refusal(`the external file '${shown}' is missing; put it beside the model file`, undefined, cause)
    }
    if (!real.startsWith(this.#root + sep))
      throw refusal(
        `the external file '${shown}' leaves the version's folder through a link; copy the file itself there`,
      )
    const stat = lstatSync(real)
    if (!stat.isFile()) throw refusal(`the external file '${shown}' is not a regular file`)
    if (stat.nlink > 1 && !this.#allowHardLinks) {
      throw refusal(
        `the external file '${shown}' has ${stat.nlink} hard links and could be any file of this machine; copy it, or set store.allowHardLinks`,
      )
    }
    return stat.size
  }
}

/** Why a location is not one, or undefined when it is: relative, downwards, plain. */
export function locationProblem(location: string): string | undefined {
  if (location.includes(MEMORY_MARKER)) return 'it is an address in memory'
  if (location.includes('\0')) return 'it holds a NUL'
  if (location.includes('\\')) return 'it holds a backslash'
  if (location.startsWith('/') || /^[A-Za-z]:/.test(location)) return 'it is absolute'
  const segments = location.split('/')
  if (segments.includes('..')) return 'it goes up with ..'
  // One spelling for a file; and names with a dot in front are not part of a version, so a change of such a file would go unseen.
  if (segments.includes('') || segments.includes('.')) return 'it has an empty part or a single dot in it'
  if (segments.some((segment) => segment.startsWith('.'))) return 'a part of it begins with a dot'
  return undefined
}
