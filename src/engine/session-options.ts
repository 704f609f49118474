/**
 * How sessions are opened and artifacts are made. Arenas and memory patterns are off everywhere: they keep what a closed session used.
 *
 * A failed run is logged by ONNX Runtime and thrown with the same text, so sessions that serve log fatal lines only: else clients with
 * bad input could fill the log.
 */
import type { Device } from '../domain/device.ts'
import type { SessionOptions } from './ort.ts'
import { providersFor } from './providers.ts'

const LOG_FATAL = 4
const LOG_ERROR = 3

/** Tensors under this many bytes stay in the graph when ONNX Runtime writes the external file itself. */
const EXTERNAL_MIN_BYTES = 65_536

/** For an artifact of form `mapped`: the graph is optimised already, its weights are mapped files shared with every other session. */
export function mappedOptions({
  isPacked,
  intraOpThreads,
  device = 'cpu',
}: {
  isPacked: boolean
  intraOpThreads: number
  device?: Device
}): SessionOptions {
  return {
    ...common(intraOpThreads, device),
    graphOptimizationLevel: 'disabled',
    // Packing copies every weight into private memory: 20 ms and 90 MB for a 90 MB encoder.
    extra: extra(intraOpThreads, { disable_prepacking: isPacked ? '0' : '1' }),
  }
}

/** For an original that could not be compiled: optimised, packed and held in private memory by every session. */
export function plainOptions({
  intraOpThreads,
  device = 'cpu',
}: {
  intraOpThreads: number
  device?: Device
}): SessionOptions {
  return { ...common(intraOpThreads, device), graphOptimizationLevel: 'all', extra: extra(intraOpThreads, {}) }
}

/** The same session, refused when a single node would run on the CPU. `device` is a GPU. */
export function withoutCpu(options: SessionOptions): SessionOptions {
  const { session } = options.extra as { readonly session: Readonly<Record<string, unknown>> }
  return { ...options, extra: { session: { ...session, disable_cpu_ep_fallback: '1' } } }
}

export interface CompileOptions {
  /** Absolute path of the optimised graph to write. */
  readonly saveTo: string
  /** Name, beside `saveTo`, of one file for all big tensors. Absent: everything is in the graph, which protobuf caps at 2 GiB. */
  readonly externalFile?: string
  readonly device?: Device
}

/** Optimises the graph, writes it, and leaves a session that gives the answers the artifact is held against. */
export function compileOptions({ saveTo, externalFile, device = 'cpu' }: CompileOptions): SessionOptions {
  const external =
    externalFile === undefined
      ? {}
      : {
          optimized_model_external_initializers_file_name: externalFile,
          optimized_model_external_initializers_min_size_in_bytes: String(EXTERNAL_MIN_BYTES),
        }
  return {
    ...common(1, device),
    logSeverityLevel: LOG_ERROR,
    graphOptimizationLevel: 'all',
    optimizedModelFilePath: saveTo,
    extra: extra(1, { disable_prepacking: '1', ...external }),
  }
}

function common(intraOpThreads: number, device: Device): SessionOptions {
  return {
    executionProviders: providersFor(device),
    enableCpuMemArena: false,
    enableMemPattern: false,
    executionMode: 'sequential',
    intraOpNumThreads: intraOpThreads,
    interOpNumThreads: 1,
    logSeverityLevel: LOG_FATAL,
  }
}

/** Values are strings, as the native configuration wants them. Threads that wait do not spin: thousands of sessions share the cores. */
function extra(intraOpThreads: number, session: Readonly<Record<string, string>>): Record<string, unknown> {
  return { session: intraOpThreads > 1 ? { ...session, intra_op: { allow_spinning: '0' } } : session }
}
