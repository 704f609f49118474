/** The identity of a source's bytes: a digest over the files that matter, whatever else lies in the folder. */
import { hash } from 'node:crypto'
import { digestWindow, withFile } from './range-reader.ts'

/** A file of a source, path relative to the version's folder. */
export interface DigestedFile {
  readonly path: string
  readonly bytes: number
  /** SHA-256 of the content, hex. */
  readonly digest: string
}

export function digestFile(folder: string, path: string): DigestedFile {
  return withFile(`${folder}/${path}`, (window) => ({
    path,
    bytes: window.size,
    digest: digestWindow(window, 0, window.size),
  }))
}

/** SHA-256 over the files in order of their paths: path, size and content's digest, a line each. */
export function sourceDigest(files: readonly DigestedFile[]): string {
  const lines = files
    .map(({ path, bytes, digest }) => `${JSON.stringify(path)} ${bytes} ${digest}\n`)
    .toSorted()
    .join('')
  return hash('sha256', lines, 'hex')
}
