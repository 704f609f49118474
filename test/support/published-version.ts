/** Writes a version into a models folder, and says of it what a registry would. */
import { type ModelVersion, modelKey } from '../../src/domain/model-version.ts'
import { SOURCE_BOUNDS, sourceIdOf } from '../../src/domain/source-identity.ts'
import { listTree } from '../../src/lib/file-tree.ts'
import { modelVersion } from './model-version.ts'
import type { SourceFolder } from './source-folder.ts'

export async function publishedVersion(
  folder: SourceFolder,
  name: string,
  version: string,
  files: Readonly<Record<string, string>>,
): Promise<ModelVersion> {
  for (const [path, content] of Object.entries(files)) await folder.write(`${name}/${version}/${path}`, content)
  const sourceId = sourceIdOf((await listTree(folder.at(`${name}/${version}`), SOURCE_BOUNDS)).files)
  return { ...modelVersion(name, version, sourceId), key: modelKey(name, version, sourceId) }
}
