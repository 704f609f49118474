/**
 * Makes the one frozen configuration of a process. Flags win over environment variables, those over the file, that over
 * the defaults. All problems of all sources are reported at once.
 */
import { readFileSync } from 'node:fs'
import { LineCounter, parse, parseDocument } from 'yaml'
import type { z } from 'zod'
import { nearNames } from '../lib/near-names.ts'
import { CROSS_FIELD_RULES, FOLDER_RULES, type Rule } from './checks.ts'
import { ConfigError } from './config-error.ts'
import { isPlainObject } from './fields.ts'
import type { ServeFlags } from './flags.ts'
import { groupOf, type Leaf, leavesOf, valueAt } from './leaves.ts'
import { showValue } from './print.ts'
import { type Config, configSchema } from './schema.ts'

export interface LoadOptions {
  readonly flags?: Pick<ServeFlags, 'fields' | 'configFile'>
  readonly env?: Readonly<Record<string, string | undefined>>
  /** `check`: the folder of models must exist, that of the cache is created. `ignore`: the disk is not looked at. */
  readonly folders: 'check' | 'ignore'
}

/** Where a value came from, by dotted path; fields with their default are absent. */
type Origins = Map<string, string>

const CONFIG_FILE_ENV = 'MODELMUX_CONFIG'
const LEAVES = leavesOf(groupOf(configSchema))

/** @throws ConfigError with every problem found */
export function loadConfig({ flags = { fields: [] }, env = process.env, folders }: LoadOptions): Config {
  const problems: string[] = []
  const origins: Origins = new Map()
  const file = flags.configFile ?? (env[CONFIG_FILE_ENV] || undefined)
  const tree = file === undefined ? {} : readFile(file, problems, origins)
  applyEnv(tree, env, problems, origins)
  for (const { flag, path, text } of flags.fields) override(tree, path, text, `flag ${flag}`, origins)

  const broken = new Set<string>()
  const config = validate(tree, problems, origins, broken)
  for (const rule of folders === 'check' ? [...CROSS_FIELD_RULES, ...FOLDER_RULES] : CROSS_FIELD_RULES)
    applyRule(rule, config, broken, problems)
  if (problems.length > 0) throw new ConfigError(problems)
  return deepFreeze(config)
}

function readFile(file: string, problems: string[], origins: Origins): Record<string, unknown> {
  const lines = new LineCounter()
  try {
    const document = parseDocument(readFileSync(file, 'utf8'), { lineCounter: lines, prettyErrors: false })
    for (const error of document.errors) {
      const { line, col } = lines.linePos(error.pos[0])
      problems.push(`${file}:${line}:${col}: not YAML: ${error.message}`)
    }
    if (document.errors.length > 0) return {}
    const content: unknown = document.toJS() ?? {}
    if (isPlainObject(content)) {
      noteOrigins(content, [], `file ${file}`, origins)
      return content
    }
    problems.push(`${file}: holds ${showValue(content)}; expected sections with fields, as in config/default.yaml`)
  } catch (error) {
    problems.push(`${file}: cannot be read: ${error instanceof Error ? error.message : String(error)}`)
  }
  return {}
}

function noteOrigins(value: unknown, path: readonly string[], origin: string, origins: Origins): void {
  origins.set(path.join('.'), origin)
  if (isPlainObject(value))
    for (const [name, member] of Object.entries(value)) noteOrigins(member, [...path, name], origin, origins)
}

function applyEnv(
  tree: Record<string, unknown>,
  env: Readonly<Record<string, string | undefined>>,
  problems: string[],
  origins: Origins,
): void {
  const byName = new Map(LEAVES.map((leaf) => [leaf.env, leaf]))
  for (const [name, value] of Object.entries(env)) {
    if (
      !name.startsWith('MODELMUX_') ||
      name === CONFIG_FILE_ENV ||
      value === undefined ||
      value === '' ||
      isServiceLink(name, value)
    )
      continue
    const leaf = byName.get(name)
    if (leaf !== undefined) {
      override(tree, leaf.path, value, `environment ${name}`, origins)
      continue
    }
    const [near] = nearNames(name, byName.keys(), 1)
    problems.push(`environment ${name}: there is no such field${near === undefined ? '' : `, did you mean ${near}?`}`)
  }
}

/**
 * Kubernetes sets variables like MODELMUX_SERVICE_HOST and MODELMUX_PORT_8080_TCP=tcp://... in every pod beside a Service
 * named `modelmux` or `modelmux-...`; they are not ours.
 */
function isServiceLink(name: string, value: string): boolean {
  return (
    /_SERVICE_(HOST|PORT|PORT_[A-Z0-9_]+)$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/.test(name) ||
    /^(tcp|udp|sctp):\/\//.test(value)
  )
}

function override(
  tree: Record<string, unknown>,
  path: readonly string[],
  text: string,
  origin: string,
  origins: Origins,
): void {
  const leaf = LEAVES.find((candidate) => candidate.path.join('.') === path.join('.'))
  if (leaf === undefined) throw new TypeError(`no field ${path.join('.')} to override`)
  let parent = tree
  for (const name of path.slice(0, -1)) {
    parent[name] ??= {}
    const next = parent[name]
    // The file has something else where a section belongs: the schema says so.
    if (!isPlainObject(next)) return
    parent = next
  }
  parent[path.at(-1) ?? ''] = readText(leaf, text)
  origins.set(path.join('.'), origin)
}

function readText({ facts }: Leaf, text: string): unknown {
  if (facts.form === 'text') return text === 'null' ? null : text
  try {
    return parse(text) as unknown
  } catch {
    return text
  }
}

/** The configuration; a field with a problem has its default in it, so that rules between the other fields can be checked. */
function validate(tree: Record<string, unknown>, problems: string[], origins: Origins, broken: Set<string>): Config {
  const result = configSchema.safeParse(tree)
  if (result.success) return result.data
  const repaired = structuredClone(tree)
  for (const issue of result.error.issues) {
    for (const path of pathsOf(issue)) {
      broken.add(path.join('.'))
      problems.push(describeIssue(issue, path, tree, origins))
      drop(repaired, path)
    }
  }
  return configSchema.parse(repaired)
}

/** The fields an issue is about: unknown keys are reported with their parent's path. */
function pathsOf(issue: z.core.$ZodIssue): string[][] {
  const path = issue.path.map(String)
  return issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...path, key]) : [path]
}

function describeIssue(issue: z.core.$ZodIssue, path: readonly string[], tree: unknown, origins: Origins): string {
  const dotted = path.join('.')
  const leaf = LEAVES.find((candidate) => candidate.path.join('.') === dotted)
  const origin = origins.get(dotted)
  const from = origin === undefined ? '' : ` (from ${origin})`
  if (issue.code === 'unrecognized_keys') {
    const parent = path.slice(0, -1).join('.')
    const siblings = LEAVES.filter((candidate) => candidate.path.join('.').startsWith(parent)).map(
      (candidate) => candidate.path[path.length - 1] ?? '',
    )
    const [near] = nearNames(path.at(-1) ?? '', new Set(siblings), 1)
    return `${dotted}${from}: there is no such field${near === undefined ? '' : `, did you mean ${near}?`}`
  }
  const expectation = leaf === undefined ? 'expected a section with fields' : `expected ${leaf.facts.expects}`
  return `${dotted} = ${showValue(valueAt(tree, path), leaf?.facts.isSecret)}${from}: ${expectation}`
}

function drop(tree: Record<string, unknown>, path: readonly string[]): void {
  const parent = valueAt(tree, path.slice(0, -1))
  if (isPlainObject(parent)) delete parent[path.at(-1) ?? '']
}

function applyRule(rule: Rule, config: Config, broken: ReadonlySet<string>, problems: string[]): void {
  const isJudged = rule.fields.some((field) => broken.has(field) || broken.has(field.slice(0, field.indexOf('.'))))
  problems.push(...(isJudged ? [] : [rule.problem(config) ?? []].flat()))
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const member of Object.values(value)) deepFreeze(member)
  }
  return value
}
