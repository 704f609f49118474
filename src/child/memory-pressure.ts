/** How long processes stood still because memory was short: pressure stall information of the kernel (PSI). */
import { readFile } from 'node:fs/promises'

export interface MemoryPressure {
  /** Seconds since boot in which some process stood still, and in which all did. */
  readonly someSeconds: number
  readonly fullSeconds: number
}

/** The control group's own first: a machine may be well while its container is not. */
const FILES = ['/sys/fs/cgroup/memory.pressure', '/proc/pressure/memory']

/** Undefined where the kernel does not tell. */
export async function readMemoryPressure(): Promise<MemoryPressure | undefined> {
  for (const file of FILES) {
    const text = await readFile(file, 'latin1').catch(() => '')
    const pressure = parsePressure(text)
    if (pressure !== undefined) return pressure
  }
  return undefined
}

/** `some avg10=0.00 avg60=0.00 avg300=0.00 total=12345` in microseconds, and the same for `full`. */
export function parsePressure(text: string): MemoryPressure | undefined {
  const seconds = (kind: string) => {
    const total = new RegExp(`^${kind} .*total=(\\d+)`, 'm').exec(text)?.[1]
    return total === undefined ? undefined : Number(total) / 1e6
  }
  const someSeconds = seconds('some')
  return someSeconds === undefined ? undefined : { someSeconds, fullSeconds: seconds('full') ?? 0 }
}
