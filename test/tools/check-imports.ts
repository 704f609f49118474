/**
 * Holds a source tree against the import rules, through dependency-cruiser. Owns the proof that the tool read
 * every file: with a parser it cannot load, dependency-cruiser reads nothing and reports success.
 */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { ICruiseResult } from 'dependency-cruiser'
import { cruise } from 'dependency-cruiser'
import type { Finding, Findings } from './finding.ts'
import { IMPORT_RULES, LAYERS, ROOTS } from './import-rules.ts'
import { sourceFiles } from './source-files.ts'

const FOLDERS = ['src', 'loadtest', 'test']

/** Checks `root/{src,loadtest,test}`; `root` needs the package.json and the node_modules that imports resolve against. */
export async function checkImports(root: string): Promise<Findings> {
  const files = await sourceFiles(root, FOLDERS)
  const folders = FOLDERS.filter((folder) => files.some((file) => file.startsWith(`${folder}/`)))
  const result = await cruiseFolders(root, folders)
  const read = new Set(result.modules.map((module) => module.source))
  const unread = files.filter((file) => !read.has(file))
  return {
    files: files.length - unread.length,
    findings: [
      ...unread.map((file) => ({ rule: 'every-file-read', where: file, what: 'the import checker did not read it' })),
      ...(await unknownRooms(root)),
      ...result.summary.violations.map(
        (violation): Finding => ({
          rule: violation.rule.name,
          where: violation.from,
          what: `must not import ${violation.cycle?.map((step) => step.name).join(' -> ') ?? violation.to}`,
        }),
      ),
    ],
  }
}

async function cruiseFolders(root: string, folders: string[]): Promise<ICruiseResult> {
  const { output } = await cruise(
    folders,
    {
      baseDir: root,
      validate: true,
      ruleSet: { forbidden: [...IMPORT_RULES] },
      // TypeScript 7 has no JavaScript API yet, so the default parser has nothing to parse TypeScript with.
      parser: 'swc',
      tsPreCompilationDeps: true,
      doNotFollow: { path: 'node_modules' },
    },
    { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'] },
  )
  if (typeof output === 'string') throw new Error(`dependency-cruiser answered text: ${output.slice(0, 200)}`)
  return output
}

/** A folder that no rule names would be free of all rules. */
async function unknownRooms(root: string): Promise<Finding[]> {
  const rooms = new Set([...LAYERS.flat(), ...ROOTS, 'main.ts', 'modelmux.sh'])
  const entries = await readdir(join(root, 'src'))
  return entries
    .filter((entry) => !rooms.has(entry))
    .map((entry) => ({ rule: 'room-in-the-table', where: `src/${entry}`, what: 'is not a room of the import table' }))
}
