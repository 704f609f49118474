/** How much of its GPU's memory this process holds, as far as the platform tells: CUDA's driver does, WebGPU's do not. */
import { readGpuMemory, readProcessGpuBytes } from '../child/nvidia-smi.ts'
import { type Device, deviceIndex, providerOf } from '../domain/device.ts'

export interface MeterQueries {
  readonly ofProcess: (index: number, pid: number) => Promise<number | undefined>
  readonly ofGpu: (index: number) => Promise<number | undefined>
}

const DRIVER: MeterQueries = {
  ofProcess: readProcessGpuBytes,
  ofGpu: async (index) => (await readGpuMemory(index))?.usedBytes,
}

export class DeviceMeter {
  readonly #index: number
  readonly #pid: number
  readonly #queries: MeterQueries
  #source: keyof MeterQueries | 'nobody'

  constructor(device: Device, pid: number, queries: MeterQueries = DRIVER) {
    this.#index = deviceIndex(device)
    this.#pid = pid
    this.#queries = queries
    this.#source = providerOf(device) === 'cuda' ? 'ofProcess' : 'nobody'
  }

  /**
   * Bytes, of this process where the driver knows it by this process id, else of the whole GPU, so that only differences mean
   * something; undefined where nobody tells.
   */
  async read(): Promise<number | undefined> {
    if (this.#source === 'ofProcess') {
      const bytes = await this.#queries.ofProcess(this.#index, this.#pid)
      if (bytes !== undefined) return bytes
      // In a container the driver knows this process by another id, for as long as it lives.
      this.#source = 'ofGpu'
    }
    if (this.#source === 'nobody') return undefined
    const bytes = await this.#queries.ofGpu(this.#index)
    if (bytes === undefined) this.#source = 'nobody'
    return bytes
  }
}
