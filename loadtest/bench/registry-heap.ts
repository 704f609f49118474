/** Measures the registry's heap in a fresh process, where nothing else allocates. */
import { fork } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { HeapReport } from './heap-main.ts'

/** `folder`: of the bench; an empty folder is made in it. */
export async function registryHeap(folder: string, models: string): Promise<HeapReport> {
  const empty = join(folder, 'empty')
  await mkdir(empty, { recursive: true })
  const main = fileURLToPath(new URL('./heap-main.ts', import.meta.url))
  const child = fork(main, [empty, models], { execArgv: ['--no-warnings', '--expose-gc'] })
  return new Promise((resolve, reject) => {
    child.once('message', (report: HeapReport) => resolve(report))
    child.once('error', reject)
    child.once('exit', (code) => reject(new Error(`the heap measurement ended with ${code} and no report`)))
  })
}
