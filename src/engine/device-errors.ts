/**
 * What the engine says of devices, in words only: memory that ran out, a device in a state that no call gets it out of, a device that is
 * gone. Pure. The words are those of ONNX Runtime 1.30 (BFCArena, CudaCall), the CUDA runtime, cuBLAS, cuDNN, Dawn and Vulkan, as their
 * sources and public reports of failures have them.
 */
import { type Device, type Provider, providerOf } from '../domain/device.ts'
import { GatewayError } from '../domain/errors.ts'
import { printable } from '../domain/model-ref.ts'

/**
 * `memory`: there was not enough of it just then; the session and the process are sound. `poisoned`: every later call of the process
 * fails too, as after an illegal access in a kernel; the model that ran may be to blame. `lost`: the device went away, which no model does.
 * `limit`: one tensor was larger than the device takes at all, however empty it is.
 */
export type DeviceTrouble = 'memory' | 'poisoned' | 'lost' | 'limit'

interface Row {
  readonly trouble: DeviceTrouble
  readonly words: RegExp
}

/** The first row that fits decides: what is lost may speak of memory too, and a poisoned device refuses to allocate. */
const TROUBLES: readonly Row[] = [
  { trouble: 'lost', words: /\bdevice (?:is |was )?lost\b|\bdevice-lost\b|VK_ERROR_DEVICE_LOST/i },
  {
    trouble: 'lost',
    words: /fallen off the bus|GPU is lost|no CUDA-capable device|CUDA driver version is insufficient/i,
  },
  {
    trouble: 'lost',
    words: /invalid device ordinal|all CUDA-capable devices are busy|system (?:has unsupported|not yet initialized)/i,
  },
  { trouble: 'lost', words: /CUDA (?:failure|error) (?:38|46|100|101|802|999)\b|\bXid\b.{0,40}\b(?:79|119|120)\b/ },
  {
    trouble: 'poisoned',
    words: /illegal (?:memory access|address|instruction)|misaligned address|device-side assert/i,
  },
  {
    trouble: 'poisoned',
    words: /unspecified launch failure|hardware stack error|invalid program counter|uncorrectable ECC/i,
  },
  {
    trouble: 'poisoned',
    words: /launch timed out|CUDA (?:failure|error) (?:700|702|710|714|715|716|717|718|719|720)\b|\bXid\b/i,
  },
  { trouble: 'poisoned', words: /CUDNN_STATUS_(?:EXECUTION|MAPPING)\w*|CUBLAS_STATUS_EXECUTION_FAILED/ },
  { trouble: 'memory', words: /out of memory|OUT_OF_(?:DEVICE_|HOST_)?MEMORY|cudaErrorMemoryAllocation|\bOOM\b/i },
  { trouble: 'memory', words: /failed to allocate memory|smaller than requested bytes|CUDA (?:failure|error) 2\b/i },
  {
    trouble: 'memory',
    words: /CU(?:BLAS|FFT|RAND|SPARSE|SOLVER)_(?:STATUS_)?ALLOC(?:ATION)?_FAILED|CUDNN_STATUS_ALLOC_FAILED/,
  },
  // What cuBLAS and cuDNN say when there is no room for their own handles and workspaces.
  { trouble: 'memory', words: /CU(?:BLAS|DNN)_STATUS_NOT_INITIALIZED/ },
  {
    trouble: 'limit',
    words: /buffer size \(\d+\) exceeds|exceeds the max(?:imum)? (?:storage )?buffer|\bnarrowing_error\b/i,
  },
]

/** Undefined when the words are of something else. */
export function deviceTrouble(text: string): DeviceTrouble | undefined {
  return TROUBLES.find(({ words }) => words.test(text))?.trouble
}

const REQUESTED =
  /(?:requested buffer of size|smaller than requested bytes of|trying to allocate|allocation of size|buffer size) \(?(\d+)/i

/** Bytes of the allocation that failed, where the words have it. */
export function requestedBytes(text: string): number | undefined {
  const bytes = Number(REQUESTED.exec(text)?.[1] ?? Number.NaN)
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : undefined
}

const REMEDY: Readonly<Record<Provider, string>> = {
  cpu: '',
  webgpu: 'it needs a Vulkan driver and its loader, libvulkan.so.1',
  cuda: "it needs an NVIDIA driver, CUDA 12 with cuDNN 9, and ONNX Runtime's CUDA libraries (see the README on GPUs)",
}

/** The device cannot be used, with the engine's reason and what it needs. */
export function deviceUnavailable(device: Device, thrown: unknown): GatewayError {
  const reason = /fallback to CPU EP has been explicitly disabled/.test(textOf(thrown))
    ? 'the engine would run on the CPU instead'
    : wordsOf(textOf(thrown))
  return new GatewayError(
    'DEVICE_UNAVAILABLE',
    `${device} cannot be used: ${reason}; ${REMEDY[providerOf(device)]}`,
    { details: { device } },
    { cause: thrown },
  )
}

/** One line without the place in the engine's source. */
function wordsOf(text: string): string {
  const [line = ''] = text.replace(/^\/\S+:\d+ [\s\S]*? was false\.\s*/, '').split('\n')
  return printable(line.replace(/^\/\S+ [^)]*\) /, '').trim())
}

/** What was thrown, as text. */
export function textOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}
