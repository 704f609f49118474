/** What an artifact store is told, with the defaults of the configuration's schema. */
import type { Spawn } from '../child/orphan-guard.ts'
import type { Device } from '../domain/device.ts'
import type { Clock } from '../lib/clock.ts'
import type { CompilerOptions } from './compiler-pool.ts'
import { COMPILER_DEFAULTS } from './compiler-pool.ts'
import type { FleetOptions } from './fleet-cache.ts'

export interface ArtifactOptions {
  /** What artifacts are made for and probed on. Those of other providers may lie in the same folder. */
  readonly device: Device
  /** On a GPU: a model whose answers lie further from the CPU's than this share of the output's deviation is refused. */
  readonly maxDeviation: number
  /** Tensors of at least so many bytes become files of their own, shared by all models that have them. */
  readonly minBlobBytes: number
  /** Sources up to this size are saved whole; beyond, protobuf's 2 GiB force the engine's own external data. */
  readonly inlineLimitBytes: number
  readonly maxNodes: number
  /** Operator domains that the engine does not know by itself, for builds of it that do. */
  readonly extraDomains: readonly string[]
  readonly allowHardLinks: boolean
  readonly allowOrt: boolean
  /** Disk space that compiles leave free for others. */
  readonly minFreeDiskBytes: number
  /** How long the timed runs of a probe may take together. */
  readonly probeBudgetMs: number
  /** Bytes per second that the scrub digests; 0 = no scrub. */
  readonly scrubBytesPerSecond: number
  /** Bytes per second that cold artifacts are read at. */
  readonly pageInBytesPerSecond: number
  /** A paged file is taken to stay warm for so long. */
  readonly warmMs: number
  readonly compiler: CompilerOptions
}

export const ARTIFACT_DEFAULTS: ArtifactOptions = {
  device: 'cpu',
  maxDeviation: 0.02,
  minBlobBytes: 64 * 2 ** 10,
  inlineLimitBytes: 1.5e9,
  maxNodes: 100_000,
  extraDomains: [],
  allowHardLinks: false,
  allowOrt: false,
  minFreeDiskBytes: 0,
  probeBudgetMs: 2_000,
  scrubBytesPerSecond: 4 * 2 ** 20,
  pageInBytesPerSecond: 2 ** 30,
  // Short: telling warm from cold is cheap, and a model that was evicted leaves its pages to the kernel.
  warmMs: 5_000,
  compiler: COMPILER_DEFAULTS,
}

/** Options with every default filled in. */
export function withDefaults(given: ArtifactStoreOptions): ArtifactOptions {
  return { ...ARTIFACT_DEFAULTS, ...given, compiler: { ...COMPILER_DEFAULTS, ...given.compiler } }
}

export interface ArtifactStoreOptions extends Partial<Omit<ArtifactOptions, 'compiler'>> {
  /** The cache folder; made where it is missing. One store at a time: `SharedArtifacts` sees to it. */
  readonly dir: string
  /** Budget of the folder; artifacts out of use are evicted above it. */
  readonly diskBytes: number
  readonly clock: Clock
  readonly compiler?: Partial<CompilerOptions>
  /** How compiler processes are made; `spawnChild` unless told otherwise. */
  readonly spawn?: Spawn
  /** Nothing can be written to the folder: what is there is served, and nothing is compiled, evicted or repaired. Default false. */
  readonly isReadOnly?: boolean
  /** Artifacts of other machines, asked for before a compile. Default: none. */
  readonly fleet?: FleetOptions | undefined
  /** Nothing is evicted sooner than this after the start. Default 0. */
  readonly evictAfterMs?: number
  /**
   * The disk is short: frees up to so many bytes that lie beside the artifacts and that nobody needs, which go before any artifact.
   * @returns how many; awaited, never rejects
   */
  spareDisk?(bytes: number): Promise<number>
  /** Rubbish is swept this often. */
  readonly collectMs?: number
  /** Structured events for logs and metrics. */
  onEvent?(name: string, fields: Readonly<Record<string, string | number | boolean>>): void
  /** Files, as paths in the cache folder, were found not to be what was written; their artifacts are gone. */
  onCorrupt?(paths: readonly string[]): void
  /** Lines that compiler children wrote. */
  onLine?(pid: number, line: string): void
}
