/**
 * The violations that `prove-checks.ts` plants, written by hand and not derived from the rules, so that a rule that
 * matches nothing is seen. Every room has a `clean.ts` to import; `allowed` plants must stay unreported.
 */

/** One file to plant, and the rule that must name it; null: no rule may. */
export interface Plant {
  readonly file: string
  readonly source: string
  readonly rule: string | null
}

const IMPORTS: readonly (readonly [room: string, source: string, rule: string | null])[] = [
  ['domain', `import { clean } from '../config/clean.ts'`, 'layers-point-down-0'],
  ['protocol', `import type { Clean } from '../store/clean.ts'`, 'layers-point-down-1'],
  ['cache', `export { clean } from '../replica/clean.ts'`, 'layers-point-down-2'],
  ['routing', `const late = await import('../http/clean.ts')`, 'layers-point-down-3'],
  ['domain', `import { clean } from '../lib/clean.ts'`, 'rooms-apart-domain'],
  ['lib', `import { clean } from '../domain/clean.ts'`, 'rooms-apart-lib'],
  ['config', `import { clean } from '../protocol/clean.ts'`, 'rooms-apart-config'],
  ['protocol', `import { clean } from '../engine/clean.ts'`, 'rooms-apart-protocol'],
  ['telemetry', `import { clean } from '../config/clean.ts'`, 'rooms-apart-telemetry'],
  ['engine', `import { clean } from '../child/clean.ts'`, 'rooms-apart-engine'],
  ['child', `import { clean } from '../telemetry/clean.ts'`, 'rooms-apart-child'],
  ['clients', `import { clean } from '../protocol/clean.ts'`, 'rooms-apart-clients'],
  ['store', `import type { Clean } from '../registry/clean.ts'`, 'rooms-apart-store'],
  ['registry', `import { clean } from '../store/clean.ts'`, 'rooms-apart-registry'],
  ['artifact', `import { clean } from '../cache/clean.ts'`, 'rooms-apart-artifact'],
  ['cache', `import { clean } from '../scheduler/clean.ts'`, 'rooms-apart-cache'],
  ['scheduler', `import { clean } from '../worker/clean.ts'`, 'rooms-apart-scheduler'],
  ['worker', `const late = await import('../artifact/clean.ts')`, 'rooms-apart-worker'],
  ['cluster', `import { clean } from '../store/clean.ts'`, 'rooms-apart-cluster'],
  ['routing', `import type { Clean } from '../replica/clean.ts'`, 'rooms-apart-routing'],
  ['replica', `import { clean } from '../control/clean.ts'`, 'rooms-apart-replica'],
  ['control', `import { clean } from '../routing/clean.ts'`, 'rooms-apart-control'],
  ['http', `import { clean } from '../cli/clean.ts'`, 'rooms-apart-http'],
  ['cli', `import { clean } from '../http/clean.ts'`, 'rooms-apart-cli'],
  ['http', `import type { Clean } from '../cache/clean.ts'`, 'entry-skips-layer-2'],
  ['http', `import { clean } from '../replica/clean.ts'`, 'entry-sees-types-only'],
  ['cli', `import { clean, type Clean } from '../control/clean.ts'`, 'entry-sees-types-only'],
  ['cli', `import { clean } from '../app/clean.ts'`, 'nothing-imports-app'],
  ['replica', `import type { Clean } from '../app/clean.ts'`, 'nothing-imports-app'],
  ['app', `import { clean } from '../main.ts'`, 'nothing-imports-main'],
  ['lib', `import { clean } from '../../test/support/clean.ts'`, 'src-stands-alone'],
  ['lib', `import { clean } from '../../loadtest/clean.ts'`, 'src-stands-alone'],
  ['lib', `import { clean } from './no-such-file.ts'`, 'resolvable'],
  ['lib', `import fc from 'fast-check'`, 'declared-packages'],
  ['routing', `import Koa from 'koa'`, 'package-koa'],
  ['control', `import type Router from '@koa/router'`, 'package-koa'],
  ['http', `import { Pool } from 'undici'`, 'package-undici'],
  ['store', `import { S3Client } from '@aws-sdk/client-s3'`, 'package-aws-sdk'],
  ['worker', `const late = await import('onnxruntime-node')`, 'package-onnxruntime'],
  ['artifact', `import type { InferenceSession } from 'onnxruntime-node'`, 'package-onnxruntime'],
  ['lib', `import { setTimeout } from 'node:timers/promises'`, 'builtin-timers'],
  ['cache', `import { setInterval } from 'timers'`, 'builtin-timers'],
  ['worker', `import { performance } from 'node:perf_hooks'`, 'builtin-perf-hooks'],
  ['config', `import { env } from 'node:process'`, 'builtin-process'],
  ['telemetry', `import { log } from 'node:console'`, 'builtin-console'],
  ['engine', `import { clean } from '../protocol/clean.ts'`, null],
  ['engine', `const ort = await import('onnxruntime-node')`, null],
  ['http', `import Koa from 'koa'`, null],
  ['http', `import type { Clean } from '../replica/clean.ts'`, null],
  ['http', `import { clean } from '../protocol/clean.ts'`, null],
  ['routing', `import { clean } from '../scheduler/clean.ts'`, null],
  ['app', `import { clean } from '../replica/clean.ts'`, null],
]

const GLOBALS: readonly (readonly [folder: string, source: string, rule: string | null])[] = [
  ['src/cache', 'export const t = Date.now()', 'global-time'],
  ['src/cache', `export const t = Date['now']()`, 'global-time'],
  ['src/cache', 'export const t = new Date()', 'global-time'],
  ['src/cache', 'export const t = [1].map(Date.now)', 'global-time'],
  ['src/cache', 'export const t = globalThis.Date?.now()', 'global-time'],
  ['src/worker', 'export const t = performance.now()', 'global-time'],
  ['src/worker', 'export const t = process.hrtime.bigint()', 'global-time'],
  ['src/worker', 'export class A { #t = setTimeout(() => {}, 5) }', 'global-timers'],
  ['src/worker', 'export const t = globalThis.setInterval(() => {}, 5)', 'global-timers'],
  ['src/worker', 'export const t = AbortSignal.timeout(5)', 'global-timers'],
  ['src/http', 'export const home = process.env.HOME', 'global-env'],
  ['src/http', 'export const home = (globalThis as unknown as Fake).process.env', 'global-env'],
  ['src/http', 'if (1 > 0) process?.exit(1)', 'global-exit'],
  ['src/app', 'process.abort()', 'global-exit'],
  ['src/http', `console.error('x')`, 'global-console'],
  ['src/replica', `export const answer = await fetch('http://x')`, 'global-http'],
  ['src/http', 'export const { env } = process', 'global-alias'],
  ['src/http', 'export const { now } = Date', 'global-alias'],
  ['src/http', 'export const world = globalThis', 'global-alias'],
  ['test/unit', 'setTimeout(() => {}, 5)', 'no-sleep'],
  ['test/integration', 'await new Promise((go) => setTimeout(go, 5))', 'no-sleep'],
  ['src/lib', silenced('biome-ignore'), 'no-silencers'],
  ['loadtest', silenced('oxlint-disable'), 'no-silencers'],
  ['test/unit', silenced('@ts-expect-error'), 'no-silencers'],
  ['src/config', 'export const home = process.env.HOME', null],
  ['src/cli', `console.log('x')`, null],
  ['src/http', 'export const text = new Date(5).toISOString()', null],
  ['src/http', 'export const isDate = (x: unknown): x is Date => x instanceof Date', null],
  ['src/http', 'export function f(console: Date, fetch = 1) { return [console, fetch, { process: 1 }] }', null],
  ['src/http', `setImmediate(() => {}); queueMicrotask(() => {}); process.on('exit', () => {})`, null],
  ['test/support', 'setTimeout(() => {}, 5)', null],
]

/** A cycle is reported once, at the file that was read first. */
const CYCLE: readonly Plant[] = [
  {
    file: 'src/lib/planted-cycle-a.ts',
    source: `import { b } from './planted-cycle-b.ts'\nexport const a = b`,
    rule: 'no-cycles',
  },
  {
    file: 'src/lib/planted-cycle-b.ts',
    source: `import { a } from './planted-cycle-a.ts'\nexport const b = a`,
    rule: null,
  },
]

/** Violations for `checkImports`. */
export const PLANTED_IMPORTS: readonly Plant[] = [
  ...IMPORTS.map(([room, source, rule], index) => ({ file: `src/${room}/planted-${index}.ts`, source, rule })),
  ...CYCLE,
  {
    file: 'loadtest/planted.ts',
    source: `import { clean } from '../test/support/clean.ts'`,
    rule: 'loadtest-without-tests',
  },
  { file: 'src/helpers/planted.ts', source: 'export const a = 1', rule: 'room-in-the-table' },
]

/** Violations for `checkGlobals`. */
export const PLANTED_GLOBALS: readonly Plant[] = [
  ...GLOBALS.map(([folder, source, rule], index) => ({ file: `${folder}/planted-${index}.ts`, source, rule })),
  { file: 'src/lib/clock.ts', source: 'export const t = Date.now() + performance.now()', rule: null },
  { file: 'src/worker/worker-main.ts', source: 'process.exit(1)', rule: null },
]

/** Violations for the command-line checkers; `rule` is what their report must say about the file. */
export const PLANTED_LINT: readonly (Plant & { readonly tool: 'biome' | 'oxlint' | 'tsc' })[] = [
  { tool: 'biome', file: 'src/lib/unformatted.ts', source: 'export const  a = "x";', rule: 'format' },
  {
    tool: 'biome',
    file: 'src/lib/long.ts',
    source: 'export {}\n'.repeat(401),
    rule: 'noExcessiveLinesPerFile',
  },
  { tool: 'biome', file: 'src/lib/wrongCase.ts', source: 'export const a = 1\n', rule: 'useFilenamingConvention' },
  {
    tool: 'biome',
    file: 'test/unit/skipped.test.ts',
    source: markedTest('skip'),
    rule: 'noSkippedTests',
  },
  {
    tool: 'biome',
    file: 'test/unit/focused.test.ts',
    source: markedTest('only'),
    rule: 'noFocusedTests',
  },
  {
    tool: 'oxlint',
    file: 'src/lib/floating.ts',
    source: 'async function f(): Promise<void> {}\nf()\n',
    rule: 'no-floating-promises',
  },
  {
    tool: 'oxlint',
    file: 'src/lib/voided.ts',
    source: 'async function f(): Promise<void> {}\nvoid f()\n',
    rule: 'no-floating-promises',
  },
  {
    tool: 'oxlint',
    file: 'src/lib/misused.ts',
    source: 'export async function f(): Promise<boolean> {\n  return f() ? true : false\n}\n',
    rule: 'no-misused-promises',
  },
  {
    tool: 'oxlint',
    file: 'src/lib/switch.ts',
    source: `export function f(x: 'a' | 'b'): void {\n  switch (x) {\n    case 'a':\n      break\n  }\n}\n`,
    rule: 'switch-exhaustiveness-check',
  },
  {
    tool: 'oxlint',
    file: 'src/lib/any.ts',
    source: 'export const a = (x: Array<any>): unknown => x\n',
    rule: 'no-explicit-any',
  },
  {
    tool: 'oxlint',
    file: 'src/lib/inline-type.ts',
    source: `export type A = import('./clean.ts').Clean\n`,
    rule: 'consistent-type-imports',
  },
  { tool: 'tsc', file: 'src/lib/mistyped.ts', source: `export const a: number = 'x'\n`, rule: 'TS2322' },
  { tool: 'tsc', file: 'src/lib/enum.ts', source: 'export enum A {\n  b,\n}\n', rule: 'TS1294' },
  {
    tool: 'tsc',
    file: 'src/lib/unchecked.ts',
    source: 'export const a = (x: number[]): number => x[0]\n',
    rule: 'TS2322',
  },
]

function silenced(mark: string): string {
  return `// ${mark} for now\nexport const a = 1`
}

function markedTest(mark: string): string {
  return `import { it } from 'node:test'\n\nit.${mark}('x', () => {})\n`
}
