/** A configuration as YAML: every field with its meaning and its environment variable. What is printed can be loaded again. */
import { stringify } from 'yaml'
import type { z } from 'zod'
import { type Group, groupOf, isLeaf, type Leaf, valueAt } from './leaves.ts'
import { configSchema } from './schema.ts'

const HEAD = `# Every field of modelmux with its value, its meaning and the environment variable that overrides it.
# A flag wins over a variable, a variable over a file, a file over the defaults. Unknown fields are errors.
# Sizes are bytes as a number or with a unit (64MiB, 4GiB); relative folders start at the working directory.

`
const HIDDEN = '(hidden)'
const SIZES: ReadonlyArray<readonly [string, number]> = [
  ['TiB', 2 ** 40],
  ['GiB', 2 ** 30],
  ['MiB', 2 ** 20],
  ['KiB', 2 ** 10],
  ['GB', 1e9],
  ['MB', 1e6],
]

/** Secrets that are set appear as `(hidden)`. */
export function renderConfig(config: unknown, schema: z.ZodType = configSchema): string {
  const root = groupOf(schema)
  return `${HEAD}${root.members.map((member) => (isLeaf(member) ? renderLeaf(member, config, '') : renderGroup(member, config, ''))).join('\n\n')}\n`
}

/** A value for a message: JSON on one line, bounded; a secret stays one. */
export function showValue(value: unknown, isSecret = false): string {
  if (isSecret) return HIDDEN
  const json = JSON.stringify(value) ?? String(value)
  return json.length > 100 ? `${json.slice(0, 100)}…` : json
}

function renderGroup(group: Group, config: unknown, indent: string): string {
  const inner = `${indent}  `
  const members = group.members.map((member) =>
    isLeaf(member) ? renderLeaf(member, config, inner) : renderGroup(member, config, inner),
  )
  return `${indent}# ${group.description}\n${indent}${group.path.at(-1)}:\n${members.join('\n')}`
}

function renderLeaf({ path, env, facts }: Leaf, config: unknown, indent: string): string {
  const value = valueAt(config, path)
  const shown = facts.isSecret && value !== null ? HIDDEN : facts.form === 'bytes' ? exactSize(value) : value
  const lines = stringify({ [path.at(-1) ?? '']: shown }, { lineWidth: 0 })
    .trimEnd()
    .split('\n')
  return [`# ${facts.description}`, `# ${env}: ${facts.expects}`, ...lines].map((line) => indent + line).join('\n')
}

/** The largest unit that keeps the number whole. */
function exactSize(value: unknown): unknown {
  if (typeof value !== 'number' || value === 0) return value
  for (const [unit, factor] of SIZES) if (value % factor === 0) return `${value / factor}${unit}`
  return value
}
