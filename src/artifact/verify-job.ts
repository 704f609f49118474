/** Digests files of the cache in the child, where reading a gigabyte blocks nobody. */
import { existsSync } from 'node:fs'
import type { VerifyCall, VerifyReply } from './compiler-protocol.ts'
import { digestFile } from './source-digest.ts'

export function verify({ cache, files }: VerifyCall): VerifyReply {
  const corrupt = Object.entries(files)
    .filter(([path, digest]) => !existsSync(`${cache}/${path}`) || digestFile(cache, path).digest !== digest)
    .map(([path]) => path)
  return { corrupt }
}
