/**
 * What NVIDIA's driver tells of a GPU's memory, by the program that comes with the driver: nothing else tells it without a native
 * module. A call takes 20 to 100 ms, so it is made where a model is measured for the first time, and now and then.
 */
import { execFile } from 'node:child_process'

export interface GpuMemory {
  readonly totalBytes: number
  readonly usedBytes: number
}

/** Runs a program with these arguments; undefined when it is missing, fails or takes too long. */
export type Query = (args: readonly string[]) => Promise<string | undefined>

const PROGRAM = 'nvidia-smi'
/** A driver in trouble answers late or never. */
const TIMEOUT_MS = 5_000
const MAX_OUTPUT_BYTES = 1024 * 1024
const MIB = 2 ** 20
const FORMAT = '--format=csv,noheader,nounits'

export const askNvidiaSmi: Query = (args) =>
  new Promise((resolve) => {
    const options = { timeout: TIMEOUT_MS, killSignal: 'SIGKILL', maxBuffer: MAX_OUTPUT_BYTES } as const
    execFile(PROGRAM, args, options, (error, stdout) => resolve(error === null ? stdout : undefined))
  })

/** Memory of a whole GPU, whoever uses it. `index` as CUDA counts here. */
export async function readGpuMemory(index: number, ask: Query = askNvidiaSmi): Promise<GpuMemory | undefined> {
  const text = await ask([
    '-i',
    smiId(index, process.env.CUDA_VISIBLE_DEVICES),
    '--query-gpu=memory.total,memory.used',
    FORMAT,
  ])
  return text === undefined ? undefined : parseGpuMemory(text)
}

/** What one process holds of a GPU; undefined where the driver does not say, as for processes of another PID namespace. */
export async function readProcessGpuBytes(
  index: number,
  pid: number,
  ask: Query = askNvidiaSmi,
): Promise<number | undefined> {
  const text = await ask([
    '-i',
    smiId(index, process.env.CUDA_VISIBLE_DEVICES),
    '--query-compute-apps=pid,used_memory',
    FORMAT,
  ])
  return text === undefined ? undefined : parseProcessBytes(text, pid)
}

/** What nvidia-smi calls the GPU that CUDA calls `index` under this CUDA_VISIBLE_DEVICES; children count in the order of the bus, as it does. */
export function smiId(index: number, visible: string | undefined): string {
  const ids = (visible ?? '').split(',').map((id) => id.trim())
  return (visible === undefined || visible === '' ? undefined : ids[index]) ?? String(index)
}

/** `total, used` in MiB. */
export function parseGpuMemory(text: string): GpuMemory | undefined {
  const [total = Number.NaN, used = Number.NaN] = (text.trim().split('\n')[0] ?? '').split(',').map(toBytes)
  return Number.isFinite(total) && Number.isFinite(used) ? { totalBytes: total, usedBytes: used } : undefined
}

/** Lines of `pid, used` in MiB; a GPU in several instances lists a process several times. */
export function parseProcessBytes(text: string, pid: number): number | undefined {
  const rows = text
    .split('\n')
    .map((line) => line.split(','))
    .filter(([id = '']) => Number(id) === pid && id.trim() !== '')
    .map(([, used = '']) => toBytes(used))
  return rows.length === 0 || rows.some(Number.isNaN) ? undefined : rows.reduce((sum, bytes) => sum + bytes, 0)
}

/** NaN for `[N/A]` and the like. */
function toBytes(mib: string): number {
  return mib.trim() === '' ? Number.NaN : Number(mib) * MIB
}
