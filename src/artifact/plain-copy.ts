/** The fall-back form: the original's files as they are, where nobody changes them. */
import { constants, copyFileSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { FileRef } from '../domain/artifact.ts'
import { plainFolder } from './layout.ts'
import { digestFile } from './source-digest.ts'

export interface PlainCopy {
  /** Model file, relative to the cache folder. */
  readonly file: string
  readonly graph: { readonly digest: string; readonly bytes: number }
  /** The other files, paths relative to the cache folder. */
  readonly files: readonly FileRef[]
}

/** Copies the files (paths relative to `dir`, the model file first) into the artifact's own folder, which appears by rename. */
export function copyPlain(
  cache: string,
  staging: string,
  artifact: string,
  dir: string,
  files: readonly string[],
): PlainCopy {
  const [modelFile = '', ...others] = files
  const partial = join(staging, 'plain')
  for (const path of files) {
    const to = join(partial, path)
    mkdirSync(dirname(to), { recursive: true })
    // Where the file system shares blocks, the copy costs nothing.
    copyFileSync(join(dir, path), to, constants.COPYFILE_FICLONE)
  }
  const { digest, bytes } = digestFile(partial, modelFile)
  const copied = others.map((path) => ({ ...digestFile(partial, path), path: `${plainFolder(artifact)}/${path}` }))
  const folder = join(cache, plainFolder(artifact))
  rmSync(folder, { recursive: true, force: true })
  renameSync(partial, folder)
  return { file: `${plainFolder(artifact)}/${modelFile}`, graph: { digest, bytes }, files: copied }
}
