/** What models run on: the words of the configuration, of the fingerprint and of the metrics. */

/** `cuda:N` is the N-th GPU that CUDA shows this process, from 0. */
export type Device = 'cpu' | 'webgpu' | `cuda:${number}`

/** An execution provider of the engine. What it optimised only it can be trusted to run as it was meant. */
export type Provider = 'cpu' | 'webgpu' | 'cuda'

/** Stands for `cuda:0` if it answers, else `cpu`. */
export const AUTO = 'auto'

const CUDA = /^cuda:(0|[1-9]\d{0,2})$/

/** Undefined when the text names no device. */
export function parseDevice(text: string): Device | undefined {
  if (text === 'cpu' || text === 'webgpu') return text
  return CUDA.test(text) ? (text as Device) : undefined
}

export function providerOf(device: Device): Provider {
  return device === 'cpu' || device === 'webgpu' ? device : 'cuda'
}

/** N of `cuda:N`; 0 for the others, which have one device each. */
export function deviceIndex(device: Device): number {
  return Number(CUDA.exec(device)?.[1] ?? 0)
}

export function isGpu(device: Device): boolean {
  return device !== 'cpu'
}
