/**
 * Reads a TypeScript file as a tree and says where *global* names are mentioned as values. Owns the two facts about
 * the parser that callers need not know: its positions are bytes that run on from file to file, and it marks names
 * that no scope declares. Types are not values: `Date` as a type is no mention.
 */
import { parseSync } from '@swc/core'

/** One mention of a global. `member` is the property read from it, null when the value itself is taken or passed on. */
export interface Mention {
  readonly name: string
  readonly member: string | null
  /** How it stands there: `new Date(x)` is `new` with 1 argument, `Date()` a call, all else `value`. */
  readonly form: { readonly kind: 'new' | 'call'; readonly args: number } | { readonly kind: 'value' }
  /** 1-based. */
  readonly line: number
}

interface Node {
  readonly type: string
  readonly [field: string]: unknown
}

const PROBE = '__unresolvedGlobal__'

/** Type-level wrappers around an expression; every other `Ts...` node is types only. */
const WRAPPERS = new Set([
  'TsAsExpression',
  'TsConstAssertion',
  'TsInstantiation',
  'TsNonNullExpression',
  'TsSatisfiesExpression',
  'TsTypeAssertion',
])

/** Mentions of global values in `source`, in order; throws on a syntax error. */
export function globalMentions(source: string): Mention[] {
  // The probe tells what an unresolved name looks like in this very parse, and where its bytes begin to count.
  const tree = parseSync(`${source}\n;${PROBE};`, { syntax: 'typescript', target: 'es2024' })
  const probe = asNode((tree.body.at(-1) as unknown as Node).expression)
  const bytes = Buffer.from(source)
  const firstByte = start(probe) - bytes.length - 2
  const mentions: Mention[] = []
  const lineOf = (node: Node): number => countLines(bytes, start(node) - firstByte)
  for (const item of tree.body.slice(0, -1)) walk(item as unknown as Node)
  return mentions

  function walk(node: Node): void {
    if (node.type.startsWith('Ts')) {
      if (WRAPPERS.has(node.type)) visit(node.expression)
      return
    }
    if (node.type === 'NewExpression' || node.type === 'CallExpression') {
      walkCall(node)
      return
    }
    if (node.type === 'BinaryExpression' && node.operator === 'instanceof') {
      // A test of a class takes nothing out of it.
      visit(node.left)
      return
    }
    const mention = mentionOf(node)
    if (mention !== null) {
      mentions.push(mention)
      if (node.type === 'MemberExpression') visit(computed(node))
      return
    }
    for (const [field, value] of Object.entries(node)) {
      // Names of properties, not values; a computed one is a node of its own.
      if ((field === 'key' || field === 'property') && isNode(value) && value.type === 'Identifier') continue
      visit(value)
    }
  }

  function walkCall(node: Node): void {
    const callee = unwrap(node.callee)
    const args = Array.isArray(node.arguments) ? node.arguments : []
    const mention = callee === null ? null : mentionOf(callee)
    if (mention === null) visit(node.callee)
    else
      mentions.push({ ...mention, form: { kind: node.type === 'NewExpression' ? 'new' : 'call', args: args.length } })
    visit(args)
  }

  function visit(value: unknown): void {
    if (Array.isArray(value)) for (const one of value) visit(one)
    else if (isNode(value)) walk(value)
    // Arguments and array elements come wrapped: `{ spread, expression }`.
    else if (isRecord(value) && 'expression' in value) visit(value.expression)
  }

  function mentionOf(node: Node): Mention | null {
    const path = globalPath(node)
    if (path === null) return null
    const [name, member] = path
    return { name, member: member ?? null, form: { kind: 'value' }, line: lineOf(node) }
  }

  /** `[global]` or `[global, member]`; `globalThis.x.y` reads as `x.y`. Null for anything that is not one of these. */
  function globalPath(node: Node): [string] | [string, string] | null {
    if (node.type === 'Identifier') {
      return node.ctxt === probe.ctxt && typeof node.value === 'string' ? [node.value] : null
    }
    if (node.type !== 'MemberExpression') return null
    const object = unwrap(node.object)
    const path = object === null ? null : globalPath(object)
    if (path === null) return null
    const member = memberName(node)
    if (path.length === 1 && path[0] === 'globalThis') return member === null ? ['globalThis'] : [member]
    if (path.length === 1) return member === null ? [path[0]] : [path[0], member]
    return null
  }
}

/** `x` of `a.x`, `a['x']` and `` a[`x`] ``; null when it is computed at run time. */
function memberName(node: Node): string | null {
  const property = asNode(node.property)
  if (property.type === 'Identifier' && typeof property.value === 'string') return property.value
  if (property.type !== 'Computed') return null
  const key = unwrap(property.expression)
  if (key?.type === 'StringLiteral' && typeof key.value === 'string') return key.value
  if (key?.type !== 'TemplateLiteral' || !Array.isArray(key.quasis) || key.quasis.length !== 1) return null
  const text: unknown = asNode(key.quasis[0]).cooked
  return typeof text === 'string' ? text : null
}

/** The expression of `a[expression]`, which may mention globals of its own. */
function computed(node: Node): unknown {
  const property = asNode(node.property)
  return property.type === 'Computed' ? property.expression : null
}

/** The expression inside brackets, casts and optional chains. */
function unwrap(value: unknown): Node | null {
  if (!isNode(value)) return null
  if (value.type === 'ParenthesisExpression' || WRAPPERS.has(value.type)) return unwrap(value.expression)
  if (value.type === 'OptionalChainingExpression') return unwrap(value.base)
  return value
}

function start(node: Node): number {
  const span = node.span
  return isRecord(span) && typeof span.start === 'number' ? span.start : 0
}

function countLines(bytes: Buffer, end: number): number {
  let lines = 1
  for (let at = bytes.indexOf(10); at !== -1 && at < end; at = bytes.indexOf(10, at + 1)) lines++
  return lines
}

function asNode(value: unknown): Node {
  if (!isNode(value)) throw new Error('the parser left out a node that the language requires')
  return value
}

function isNode(value: unknown): value is Node {
  return isRecord(value) && typeof value.type === 'string'
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
