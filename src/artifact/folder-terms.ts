/** What processes that share a cache folder must agree on: what makes an artifact what it is, and what may become one. */
import { ortPackageVersion } from '../engine/ort-package.ts'
import type { ArtifactOptions } from './options.ts'
import { platformOf } from './platform.ts'

/** Name to value, as text; names of settings are those of the configuration. */
export type FolderTerms = Readonly<Record<string, string>>

/** Grows when owner and guest could misunderstand each other. */
const WIRE_REVISION = 1

/** `version`: of modelmux. */
export async function folderTerms(version: string, options: ArtifactOptions): Promise<FolderTerms> {
  const { ortVersion, provider, cpu, options: compile } = await platformOf(options, ortPackageVersion)
  return {
    modelmux: `${version} (wire ${WIRE_REVISION})`,
    'onnxruntime-node': ortVersion,
    provider,
    'CPU features': cpu,
    'compile options': compile,
    'artifact.inlineSaveBytes': String(options.inlineLimitBytes),
    'artifact.maxNodes': String(options.maxNodes),
    'artifact.extraDomains': options.extraDomains.join(' '),
    'artifact.allowOrt': String(options.allowOrt),
    'store.allowHardLinks': String(options.allowHardLinks),
  }
}

/** What the owner has and a guest has not, for people; undefined when they agree. */
export function differenceOf(owner: FolderTerms, guest: FolderTerms): string | undefined {
  const names = [...new Set([...Object.keys(owner), ...Object.keys(guest)])]
  const differences = names
    .filter((name) => owner[name] !== guest[name])
    .map((name) => `${name} '${owner[name] ?? ''}' where this one has '${guest[name] ?? ''}'`)
  return differences.length === 0 ? undefined : differences.join(', ')
}
