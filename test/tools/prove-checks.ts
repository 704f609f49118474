/**
 * Command: proves that `npm run check` can fail. Plants a violation of every rule in a throw-away tree that has the
 * checkout's own settings, runs the same checkers on it, and wants each planted file named by its rule, and nothing
 * said about the files that are allowed.
 */
import { execFile } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { checkGlobals, FENCES } from './check-globals.ts'
import { checkImports } from './check-imports.ts'
import type { Findings } from './finding.ts'
import { IMPORT_RULES, LAYERS, ROOTS } from './import-rules.ts'
import type { Plant } from './planted.ts'
import { PLANTED_GLOBALS, PLANTED_IMPORTS, PLANTED_LINT } from './planted.ts'

const SETTINGS = ['package.json', 'tsconfig.json', 'biome.json', '.oxlintrc.json', '.gitignore']
const CLEAN = 'export const clean = 1\nexport type Clean = typeof clean\n'

const COMMANDS = {
  biome: ['biome', 'check', '--max-diagnostics=none', '--reporter=github', '.'],
  oxlint: ['oxlint', '--format=github'],
  tsc: ['tsc', '--pretty', 'false', '-p', 'tsconfig.json'],
} as const

const problems = [
  ...(await inTree(PLANTED_IMPORTS, async (root) => missed(PLANTED_IMPORTS, await checkImports(root)))),
  ...(await inTree(PLANTED_GLOBALS, async (root) => missed(PLANTED_GLOBALS, await checkGlobals(root)))),
  ...(await inTree(PLANTED_LINT, missedByCommands)),
  ...unplanted(),
]
for (const problem of problems) console.log(problem)
const total = PLANTED_IMPORTS.length + PLANTED_GLOBALS.length + PLANTED_LINT.length
console.log(`planted violations: ${total} files, ${problems.length} judged wrongly`)
if (problems.length > 0) process.exitCode = 1

/** Rules that no plant tries: a rule without a proof may be one that never matches. */
function unplanted(): string[] {
  const planted = new Set([...PLANTED_IMPORTS, ...PLANTED_GLOBALS].map((plant) => plant.rule))
  return [...IMPORT_RULES, ...FENCES]
    .map((rule) => rule.name ?? 'a rule without a name')
    .filter((name) => !planted.has(name))
    .map((name) => `${name}: no planted violation`)
}

function missed(plants: readonly Plant[], { files, findings }: Findings): string[] {
  if (files === 0) return ['the checker read no file']
  return plants.flatMap((plant) => {
    // A finding about a folder stands for the files in it.
    const named = findings.filter(({ where }) => covers(where.replace(/:\d+$/, ''), plant.file)).map(({ rule }) => rule)
    if (plant.rule === null) return named.map((rule) => `${plant.file}: allowed, but ${rule} reports it`)
    return named.includes(plant.rule)
      ? []
      : [`${plant.file}: ${plant.rule} does not report it; others: ${named.join(', ')}`]
  })
}

function covers(where: string, file: string): boolean {
  return where === file || file.startsWith(`${where}/`)
}

async function missedByCommands(root: string): Promise<string[]> {
  const reports = await Promise.all(
    Object.entries(COMMANDS).map(async ([tool, command]) => [tool, await run(root, command)] as const),
  )
  return reports.flatMap(([tool, { failed, lines }]) => [
    ...(failed ? [] : [`${tool}: passes a tree full of violations`]),
    ...PLANTED_LINT.filter((plant) => plant.tool === tool).flatMap(({ file, rule }) =>
      lines.some((line) => line.includes(file) && line.includes(String(rule)))
        ? []
        : [`${file}: ${tool} does not report ${rule}`],
    ),
  ])
}

async function run(cwd: string, [tool, ...args]: readonly string[]): Promise<{ failed: boolean; lines: string[] }> {
  return new Promise((done) => {
    const file = resolve('node_modules/.bin', String(tool))
    execFile(file, args, { cwd, maxBuffer: 16 * 2 ** 20 }, (error, stdout, stderr) => {
      done({ failed: error !== null, lines: `${stdout}\n${stderr}`.split('\n') })
    })
  })
}

/** Runs `judge` in a tree with a clean file per room and the plants; the tree is gone afterwards. */
async function inTree(plants: readonly Plant[], judge: (root: string) => Promise<string[]>): Promise<string[]> {
  const root = await mkdtemp(join(tmpdir(), 'modelmux-checks-'))
  try {
    await Promise.all(SETTINGS.map((name) => copyFile(name, join(root, name))))
    await symlink(resolve('node_modules'), join(root, 'node_modules'))
    const rooms = [...LAYERS.flat(), ...ROOTS].map((room) => `src/${room}/clean.ts`)
    for (const file of [...rooms, 'src/main.ts', 'test/support/clean.ts', 'loadtest/clean.ts'])
      await plant(root, file, CLEAN)
    for (const { file, source } of plants) await plant(root, file, source)
    return await judge(root)
  } finally {
    await rm(root, { recursive: true, force: true })
  }
}

async function plant(root: string, file: string, source: string): Promise<void> {
  await mkdir(dirname(join(root, file)), { recursive: true })
  await writeFile(join(root, file), source)
}
