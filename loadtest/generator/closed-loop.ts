import type { Lane } from './lane.ts'

/** Keeps every lane busy until `next` gives nothing more; resolves when the last request is answered. Latency counts from the real start. */
export function closedLoop<Work>(
  lanes: readonly Lane<Work>[],
  next: () => Work | undefined,
  now: () => number,
): Promise<void> {
  return new Promise((resolve) => {
    let running = lanes.length
    for (const lane of lanes) {
      const step = (): void => {
        const work = next()
        if (work !== undefined) lane(work, now(), step)
        else if (--running === 0) resolve()
      }
      step()
    }
  })
}
