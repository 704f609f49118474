/**
 * Who may import whom, as rules that dependency-cruiser reads. Layers point down, rooms of one layer do not
 * know each other, and a third-party package is used only in the rooms that own it. CONTRIBUTING.md shows
 * the same table to people; `prove-checks.ts` plants a violation of every rule and expects it to be named.
 */
import type { IRegularForbiddenRuleType } from 'dependency-cruiser'

/** Rooms per layer, lowest first. A room may import every layer below its own, unless a rule says less. */
export const LAYERS: readonly (readonly string[])[] = [
  ['domain', 'lib'],
  ['config', 'protocol', 'telemetry', 'engine', 'child', 'clients'],
  ['store', 'registry', 'artifact', 'cache', 'scheduler', 'worker', 'cluster'],
  ['routing', 'replica', 'control'],
  ['http', 'cli'],
]

/** Composition roots: above every layer, imported by nothing. */
export const ROOTS: readonly string[] = ['app']

/** Sideways imports allowed inside a layer: the engine decodes and encodes tensors with the codecs of the wire. */
const SIDEWAYS: readonly { readonly from: string; readonly to: string }[] = [{ from: 'engine', to: 'protocol' }]

/** A package (regular expression of its name) and the rooms that may import it. One not named here is free. */
const PACKAGES: readonly { readonly key: string; readonly name: string; readonly rooms: readonly string[] }[] = [
  { key: 'koa', name: '(@types/)?(koa|@koa/router|koa__router)', rooms: ['http'] },
  { key: 'undici', name: 'undici', rooms: ['clients', 'routing', 'cli'] },
  { key: 'aws-sdk', name: '@(aws-sdk|smithy)/[^/]+', rooms: ['clients'] },
  { key: 'onnxruntime', name: 'onnxruntime-(node|common)', rooms: ['engine'] },
]

/** Node's own modules that would open a way round the fences on globals, and the files that may use them. */
const BUILTINS: readonly { readonly key: string; readonly name: string; readonly allowed: readonly string[] }[] = [
  { key: 'timers', name: 'timers', allowed: ['^src/lib/clock[.]ts$'] },
  { key: 'perf-hooks', name: 'perf_hooks', allowed: ['^src/lib/clock[.]ts$', '^src/telemetry/'] },
  { key: 'process', name: 'process', allowed: [] },
  { key: 'console', name: 'console', allowed: [] },
]

const MAIN = '^src/main[.]ts$'

function inside(rooms: readonly string[]): string {
  return `^src/(${rooms.join('|')})/`
}

function forbid(
  name: string,
  from: IRegularForbiddenRuleType['from'],
  to: IRegularForbiddenRuleType['to'],
): IRegularForbiddenRuleType {
  return { name, severity: 'error', from, to }
}

function layerRules(): IRegularForbiddenRuleType[] {
  return LAYERS.slice(0, -1).map((rooms, layer) =>
    forbid(`layers-point-down-${layer}`, { path: inside(rooms) }, { path: inside(LAYERS.slice(layer + 1).flat()) }),
  )
}

function roomRules(): IRegularForbiddenRuleType[] {
  return LAYERS.flatMap((rooms) =>
    rooms.map((room) => {
      const allowed = SIDEWAYS.filter((pair) => pair.from === room).map((pair) => pair.to)
      const others = rooms.filter((other) => other !== room && !allowed.includes(other))
      return forbid(`rooms-apart-${room}`, { path: inside([room]) }, { path: inside(others) })
    }),
  )
}

/** The highest layer speaks with layer 3 through its types, and never with the rooms of layer 2. */
function entryRules(): IRegularForbiddenRuleType[] {
  const top = { path: inside(LAYERS[4] ?? []) }
  return [
    forbid('entry-skips-layer-2', top, { path: inside(LAYERS[2] ?? []) }),
    forbid('entry-sees-types-only', top, { path: inside(LAYERS[3] ?? []), dependencyTypesNot: ['type-only'] }),
  ]
}

function edgeRules(): IRegularForbiddenRuleType[] {
  return [
    forbid('no-cycles', {}, { circular: true }),
    forbid('nothing-imports-app', { path: '^src/', pathNot: [inside(ROOTS), MAIN] }, { path: inside(ROOTS) }),
    forbid('nothing-imports-main', {}, { path: MAIN }),
    forbid('src-stands-alone', { path: '^src/' }, { path: '^(test|loadtest|deploy|dist)/' }),
    forbid('loadtest-without-tests', { path: '^loadtest/' }, { path: '^test/' }),
    // An import that cannot be resolved cannot be judged either.
    forbid('resolvable', {}, { couldNotResolve: true }),
    forbid(
      'declared-packages',
      { path: '^src/' },
      { dependencyTypes: ['npm-dev', 'npm-optional', 'npm-peer', 'npm-no-pkg', 'npm-unknown'] },
    ),
  ]
}

function packageRules(): IRegularForbiddenRuleType[] {
  return PACKAGES.map(({ key, name, rooms }) =>
    forbid(`package-${key}`, { path: '^src/', pathNot: inside(rooms) }, { path: `(^|node_modules/)${name}(/|$)` }),
  )
}

function builtinRules(): IRegularForbiddenRuleType[] {
  return BUILTINS.map(({ key, name, allowed }) =>
    forbid(
      `builtin-${key}`,
      { path: '^src/', pathNot: [...allowed] },
      { path: `^(node:)?${name}(/promises)?$`, dependencyTypes: ['core'] },
    ),
  )
}

/** Every rule, in the order in which a reader of the table would ask for it. */
export const IMPORT_RULES: readonly IRegularForbiddenRuleType[] = [
  ...layerRules(),
  ...roomRules(),
  ...entryRules(),
  ...edgeRules(),
  ...packageRules(),
  ...builtinRules(),
]
