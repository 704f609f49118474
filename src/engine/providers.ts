/**
 * What the engine is told of each device, in one table. Everything else of a session's options (arenas, memory patterns, prepacking,
 * threads) is about the nodes that run on the CPU, whatever the device.
 */
import { type Device, deviceIndex, type Provider, providerOf } from '../domain/device.ts'
import type { SessionOptions } from './ort.ts'

type ProviderConfig = NonNullable<SessionOptions['executionProviders']>[number]

const PROVIDERS: Readonly<Record<Provider, (device: Device) => ProviderConfig>> = {
  cpu: () => ({ name: 'cpu' }),
  // Buffers go back when a run ends instead of into a cache that outlives it: what is open is what is held.
  webgpu: () => ({ name: 'webgpu', validationMode: 'basic', storageBufferCacheMode: 'lazyRelease' }),
  // The Node binding reads the index and nothing else: no memory limit, no arena strategy.
  cuda: (device) => ({ name: 'cuda', deviceId: deviceIndex(device) }),
}

/** Do sessions with these options run on a GPU? */
export function runsOnGpu({ executionProviders }: SessionOptions): boolean {
  const [first] = executionProviders ?? []
  return typeof first === 'object' && first.name !== 'cpu'
}

/**
 * The one provider to ask for. The engine adds its CPU provider behind it for operators that the device lacks, and throws when the one
 * asked for cannot be made.
 */
export function providersFor(device: Device): readonly ProviderConfig[] {
  return [PROVIDERS[providerOf(device)](device)]
}
