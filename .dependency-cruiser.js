/**
 * Who may import whom. Layers point down, rooms of one layer do not know each other, and a third-party
 * package is used only in the rooms that own it. CONTRIBUTING.md shows the same table to people;
 * test/tools/check-fences-work.ts plants a violation of every rule below and expects it to be reported.
 */

/** Rooms per layer, lowest first. A room may import every layer below its own, unless a rule says less. */
export const LAYERS = [
  ['domain', 'lib'],
  ['config', 'protocol', 'telemetry', 'engine', 'child', 'clients'],
  ['store', 'registry', 'artifact', 'cache', 'scheduler', 'worker', 'cluster'],
  ['routing', 'replica', 'control'],
  ['http', 'cli'],
];

/** Sideways imports that are allowed inside a layer. */
const SIDEWAYS = [{ from: 'engine', to: 'protocol' }];

/** Package (regular expression of its name) -> rooms that may import it. A package not named here is free. */
const PACKAGES = {
  koa: { name: '(@types/)?(koa|@koa/router|koa__router)', rooms: ['http'] },
  undici: { name: 'undici', rooms: ['clients', 'routing', 'cli'] },
  'aws-sdk': { name: '@(aws-sdk|smithy)/.+', rooms: ['clients'] },
  onnxruntime: { name: 'onnxruntime-(node|common)', rooms: ['engine'] },
};

/** Node's own modules that would open a way round the fences on globals (test/tools/check-fences.ts). */
const BUILTINS = {
  timers: { name: 'timers', allowed: ['^src/lib/clock[.]ts$'] },
  'perf-hooks': { name: 'perf_hooks', allowed: ['^src/lib/clock[.]ts$', '^src/telemetry/'] },
  process: { name: 'process', allowed: [] },
  console: { name: 'console', allowed: [] },
};

const inside = (rooms) => `^src/(${rooms.join('|')})/`;

function roomRules(room, layer) {
  const sideways = SIDEWAYS.filter((pair) => pair.from === room).map((pair) => pair.to);
  const others = LAYERS[layer].filter((other) => other !== room && !sideways.includes(other));
  return {
    name: `rooms-apart-${room}`,
    comment: `${room} does not import the other rooms of its layer: they meet through interfaces handed in`,
    severity: 'error',
    from: { path: inside([room]) },
    to: { path: inside(others) },
  };
}

function layerRule(layer) {
  const above = LAYERS.slice(layer + 1).flat();
  return {
    name: `layers-point-down-${layer}`,
    comment: `layer ${layer} (${LAYERS[layer].join(', ')}) imports only the layers below it`,
    severity: 'error',
    from: { path: inside(LAYERS[layer]) },
    to: { path: inside(above) },
  };
}

const TOP = LAYERS.length - 1;

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    {
      name: 'no-cycles',
      comment: 'a cycle means that two files are one, or that an interface is missing',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    ...LAYERS.slice(0, -1).map((_, layer) => layerRule(layer)),
    ...LAYERS.flatMap((rooms, layer) => rooms.map((room) => roomRules(room, layer))),
    {
      name: 'top-skips-layer-2',
      comment: `${LAYERS[TOP].join(' and ')} reach layer 2 only through the entry types of layer 3`,
      severity: 'error',
      from: { path: inside(LAYERS[TOP]) },
      to: { path: inside(LAYERS[2]) },
    },
    {
      name: 'top-sees-types-of-layer-3',
      comment: `${LAYERS[TOP].join(' and ')} get layer 3 handed in; they import its types only`,
      severity: 'error',
      from: { path: inside(LAYERS[TOP]) },
      to: { path: inside(LAYERS[3]), dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'nothing-imports-app',
      comment: 'composition roots are at the top: only main.ts starts them',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(app/|main[.]ts$)' },
      to: { path: '^src/(app/|main[.]ts$)' },
    },
    {
      name: 'nothing-imports-main',
      severity: 'error',
      from: {},
      to: { path: '^src/main[.]ts$' },
    },
    {
      name: 'src-stands-alone',
      comment: 'the product does not know its tests, its load generator or its build output',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(test|loadtest|deploy|config|dist)/' },
    },
    {
      name: 'loadtest-without-tests',
      severity: 'error',
      from: { path: '^loadtest/' },
      to: { path: '^test/' },
    },
    {
      name: 'resolvable',
      comment: 'an import that cannot be resolved cannot be judged either',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'declared-packages',
      comment: 'the product imports only what package.json lists under dependencies',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev', 'npm-optional', 'npm-peer', 'npm-no-pkg', 'npm-unknown', 'npm-bundled'] },
    },
    ...Object.entries(PACKAGES).map(([key, { name, rooms }]) => ({
      name: `package-${key}`,
      comment: `only in ${rooms.join(', ')}`,
      severity: 'error',
      from: { path: '^src/', pathNot: inside(rooms) },
      to: { path: `(^|node_modules/)${name}(/|$)`, dependencyTypes: ['npm', 'npm-dev', 'npm-no-pkg', 'unknown', 'undetermined'] },
    })),
    ...Object.entries(BUILTINS).map(([key, { name, allowed }]) => ({
      name: `builtin-${key}`,
      comment: allowed.length === 0 ? 'use the global, where the fence sees it' : `only in ${allowed.join(', ')}`,
      severity: 'error',
      from: { path: '^src/', pathNot: allowed },
      to: { path: `^(node:)?${name}(/promises)?$`, dependencyTypes: ['core'] },
    })),
  ],
  options: {
    // TypeScript 7 has no JavaScript API: with the default parser nothing is read and every rule passes.
    parser: 'swc',
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(node_modules|dist)/' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['types', 'import', 'node', 'default'] },
  },
};
