/**
 * How sessions are opened and artifacts are made. Arenas and memory patterns are off everywhere: they keep what a closed session used.
 *
 * A failed run is logged by ONNX Runtime and thrown with the same text, so sessions that serve log fatal lines only: else clients with
 * bad input could fill the log.
 */
import type { SessionOptions } from './ort.ts'

const LOG_FATAL = 4
const LOG_ERROR = 3

/** Tensors under this many bytes stay in the graph when ONNX Runtime writes the external file itself. */
const EXTERNAL_MIN_BYTES = 65_536

/** For an artifact of form `mapped`: the graph is optimised already, its weights are mapped files shared with every other session. */
export function mappedOptions({
  isPacked,
  intraOpThreads,
}: {
  isPacked: boolean
  intraOpThreads: number
}): SessionOptions {
  return {
    ...common(intraOpThreads),
    graphOptimizationLevel: 'disabled',
    // Packing copies every weight into private memory: 20 ms and 90 MB for a 90 MB encoder.
    extra: extra(intraOpThreads, { disable_prepacking: isPacked ? '0' : '1' }),
  }
}

/** For an original that could not be compiled: optimised, packed and held in private memory by every session. */
export function plainOptions({ intraOpThreads }: { intraOpThreads: number }): SessionOptions {
  return { ...common(intraOpThreads), graphOptimizationLevel: 'all', extra: extra(intraOpThreads, {}) }
}

export interface CompileOptions {
  /** Absolute path of the optimised graph to write. */
  readonly saveTo: string
  /** Name, beside `saveTo`, of one file for all big tensors. Absent: everything is in the graph, which protobuf caps at 2 GiB. */
  readonly externalFile?: string
}

/** Optimises the graph, writes it, and leaves a session that gives the answers the artifact is held against. */
export function compileOptions({ saveTo, externalFile }: CompileOptions): SessionOptions {
  const external =
    externalFile === undefined
      ? {}
      : {
          optimized_model_external_initializers_file_name: externalFile,
          optimized_model_external_initializers_min_size_in_bytes: String(EXTERNAL_MIN_BYTES),
        }
  return {
    ...common(1),
    logSeverityLevel: LOG_ERROR,
    graphOptimizationLevel: 'all',
    optimizedModelFilePath: saveTo,
    extra: extra(1, { disable_prepacking: '1', ...external }),
  }
}

function common(intraOpThreads: number): SessionOptions {
  return {
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
