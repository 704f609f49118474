/**
 * Changes to JSON as the tree it is. Objects are lists of members, so that keys may come twice or be called `__proto__`, and leaves are
 * text, so that they may be what no value can be written as.
 */
import type { Dice } from './dice.ts'

type Node =
  | { readonly kind: 'object'; readonly members: [key: string, value: Node][] }
  | { readonly kind: 'list'; readonly items: Node[] }
  | { readonly kind: 'leaf'; text: string }

const ODD_LEAVES = [
  'null true false -1 0 -0 1 1.5 0.1 1e308 1e999 -1e999 5e-324 3.5e38 65520 NaN -Infinity Infinity -NaN nan 256 65536',
  '2147483648 -2147483649 9007199254740993 9223372036854775808 18446744073709551615 18446744073709551616 1e19 01 .5',
  '"" "x" "NaN" "1" "\\u0000" "\\ud800" "\\udc00x" "__proto__" "BYTES" "FP32" "INT64" "é"',
  '[] {} [[]] [null] {"__proto__":{"binary_data_size":4}} {"toString":1} [1,[2]]',
].flatMap((row) => row.split(' '))
const ODD_KEYS = [
  '__proto__',
  'constructor',
  'toString',
  '',
  'data',
  'shape',
  'datatype',
  'name',
  'parameters',
  'inputs',
  'outputs',
]
const PARAMETERS = [
  'binary_data_size',
  'binary_data',
  'binary_data_output',
  'classification',
  'shared_memory_region',
  'id',
]
const DEEPEST = 3000

type Change = (dice: Dice, node: Node, all: readonly Node[]) => void

const CHANGES: readonly Change[] = [
  function odd(dice, node) {
    replaceOne(dice, node, { kind: 'leaf', text: dice.pick(ODD_LEAVES) })
  },
  function deep(dice, node) {
    const depth = dice.below(DEEPEST)
    const [open, close] = dice.pick([
      ['[', ']'],
      ['{"a":', '}'],
    ] as const)
    replaceOne(dice, node, { kind: 'leaf', text: `${open.repeat(depth)}1${close.repeat(depth)}` })
  },
  function long(dice, node) {
    const item = dice.pick(['0', '1.25', '""', '[0]', 'true', '{}'])
    replaceOne(dice, node, { kind: 'leaf', text: `[${Array(dice.below(600)).fill(item).join(',')}]` })
  },
  function transplant(dice, node, all) {
    replaceOne(dice, node, dice.pick(all))
  },
  function rename(dice, node) {
    if (node.kind !== 'object' || node.members.length === 0) return
    dice.pick(node.members)[0] = dice.pick(dice.chance(0.5) ? ODD_KEYS : PARAMETERS)
  },
  function add(dice, node, all) {
    if (node.kind === 'list') node.items.splice(dice.below(node.items.length + 1), 0, copyOf(dice.pick(all)))
    else if (node.kind === 'object') {
      const key = dice.pick(dice.chance(0.5) ? ODD_KEYS : PARAMETERS)
      node.members.push([
        key,
        dice.chance(0.5) ? copyOf(dice.pick(all)) : { kind: 'leaf', text: dice.pick(ODD_LEAVES) },
      ])
    }
  },
  function drop(dice, node) {
    if (node.kind === 'list') node.items.splice(dice.below(node.items.length), 1)
    else if (node.kind === 'object') node.members.splice(dice.below(node.members.length), 1)
  },
]

/** @param text valid JSON */
export function mutateJson(dice: Dice, text: string): string {
  const tree = nodeOf(JSON.parse(text))
  for (let left = dice.few(); left > 0; left--) {
    const all = [...nodesOf(tree)]
    // A leaf has nothing that could be changed but itself, which its container does.
    dice.pick(CHANGES)(dice, dice.pick(all.filter(({ kind }) => kind !== 'leaf')), all)
  }
  return textOf(tree)
}

function replaceOne(dice: Dice, node: Node, by: Node): void {
  // A copy, lest a tree grow into itself.
  const copy = copyOf(by)
  if (node.kind === 'list' && node.items.length > 0) node.items[dice.below(node.items.length)] = copy
  else if (node.kind === 'object' && node.members.length > 0) dice.pick(node.members)[1] = copy
}

function copyOf(node: Node): Node {
  if (node.kind === 'leaf') return { ...node }
  if (node.kind === 'list') return { kind: 'list', items: node.items.map(copyOf) }
  return { kind: 'object', members: node.members.map(([key, value]) => [key, copyOf(value)]) }
}

function nodeOf(value: unknown): Node {
  if (Array.isArray(value)) return { kind: 'list', items: (value as unknown[]).map(nodeOf) }
  if (typeof value === 'object' && value !== null)
    return { kind: 'object', members: Object.entries(value).map(([key, member]) => [key, nodeOf(member)]) }
  return { kind: 'leaf', text: JSON.stringify(value) }
}

function* nodesOf(node: Node): Generator<Node> {
  yield node
  if (node.kind === 'list') for (const item of node.items) yield* nodesOf(item)
  else if (node.kind === 'object') for (const [, value] of node.members) yield* nodesOf(value)
}

function textOf(node: Node): string {
  if (node.kind === 'leaf') return node.text
  if (node.kind === 'list') return `[${node.items.map(textOf).join(',')}]`
  return `{${node.members.map(([key, value]) => `${JSON.stringify(key)}:${textOf(value)}`).join(',')}}`
}
