import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

/** TypeScript files under `root/<folder>` for each folder that exists, as sorted paths relative to `root`, with `/`. */
export async function sourceFiles(root: string, folders: readonly string[]): Promise<string[]> {
  const found: string[] = []
  for (const folder of folders) {
    for (const name of await namesUnder(join(root, folder))) {
      if (name.endsWith('.ts')) found.push(`${folder}/${name}`)
    }
  }
  return found.sort()
}

async function namesUnder(folder: string): Promise<string[]> {
  try {
    return await readdir(folder, { recursive: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}
