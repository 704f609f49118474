/** The GPU of a replica as its owner sees it: how much of it models may have, whether it is there, and what the driver says it holds. */
import type { GpuMemory } from '../child/nvidia-smi.ts'
import type { Config } from '../config/schema.ts'
import { type Device, providerOf } from '../domain/device.ts'
import { GatewayError } from '../domain/errors.ts'
import type { EventLog } from '../telemetry/log.ts'

/** Where no driver tells how much there is: small enough for any GPU that is worth the name. */
const UNTOLD_BYTES = 2 ** 30

/** Bytes of the GPU for open models. `memory`: as the driver tells, if it does. */
export function deviceBudgetBytes(
  { memoryBytes, memoryFraction }: Config['device'],
  memory: GpuMemory | undefined,
): number {
  return memoryBytes ?? (memory === undefined ? UNTOLD_BYTES : Math.floor(memory.totalBytes * memoryFraction))
}

export interface DeviceWatchOptions {
  readonly device: Device
  readonly log: EventLog
  /** The GPU went away, with the reason, or is back. */
  readonly onChange: (lost: GatewayError | undefined) => void
  /** As the driver tells; undefined where it does not. */
  readonly readMemory: () => Promise<GpuMemory | undefined>
}

export class DeviceWatch {
  readonly #options: DeviceWatchOptions
  #lost: GatewayError | undefined

  constructor(options: DeviceWatchOptions) {
    this.#options = options
  }

  get isUp(): boolean {
    return this.#lost === undefined
  }

  /** A worker's process did not come up. It is started again and again; it never comes up on something else. */
  unfit(error: unknown): void {
    if (!(error instanceof GatewayError) || error.code !== 'DEVICE_UNAVAILABLE' || !this.isUp) return
    this.#lost = error
    this.#options.log.event('device.lost', { device: this.#options.device, reason: error.message, err: error })
    this.#options.onChange(error)
  }

  /** A worker came up, which it does only with its device. */
  up(): void {
    if (this.isUp) return
    this.#lost = undefined
    this.#options.log.event('device.back', { device: this.#options.device })
    this.#options.onChange(undefined)
  }

  /** Asks the driver, where there is one that tells. */
  async memory(): Promise<GpuMemory | undefined> {
    return providerOf(this.#options.device) === 'cuda' ? await this.#options.readMemory() : undefined
  }
}
