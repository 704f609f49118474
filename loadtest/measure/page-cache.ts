/**
 * Puts files out of the kernel's page cache, and sees whether they are in it. Both through small programs that every Linux has, because
 * Node offers neither posix_fadvise nor mincore. Pages that a process still maps stay: close the sessions first.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Command lines have a limit of 128 KiB per argument and some MiB in all. */
const FILES_PER_CALL = 500

/** Writes back what is dirty and drops every page of the files that no process maps. */
export async function dropPages(files: readonly string[]): Promise<void> {
  for (const batch of batches(files)) {
    await run('sync', batch)
    // count=0 with nocache means the whole file (dd's manual); one dd takes one file.
    const script = 'for file; do dd if="$file" iflag=nocache count=0 status=none || exit; done'
    await run('sh', ['-c', script, 'sh', ...batch])
  }
}

/** Bytes of the files that are in the page cache, or undefined where `fincore` is missing. */
export async function cachedBytes(files: readonly string[]): Promise<number | undefined> {
  try {
    let bytes = 0
    for (const batch of batches(files)) {
      const { stdout } = await run('fincore', ['--bytes', '--noheadings', '--output', 'RES', ...batch])
      bytes += stdout.split('\n').reduce((sum, line) => sum + Number(line), 0)
    }
    return bytes
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

function batches(files: readonly string[]): string[][] {
  return Array.from({ length: Math.ceil(files.length / FILES_PER_CALL) }, (_, i) =>
    files.slice(i * FILES_PER_CALL, (i + 1) * FILES_PER_CALL),
  )
}
