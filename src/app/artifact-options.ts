/** The configuration in the words of the artifact store. */
import type { ArtifactStoreOptions } from '../artifact/options.ts'
import type { Config } from '../config/schema.ts'
import { type Device, isGpu } from '../domain/device.ts'

/** What a GPU's driver and runtime may take of a compiler's memory, for their own tables and for buffers that the host can see. */
const DRIVER_BYTES = 2 * 2 ** 30

export function artifactOptions(
  { artifact, cache, device, store, worker }: Config,
  runsOn: Device,
): Omit<ArtifactStoreOptions, 'clock'> {
  return {
    device: runsOn,
    maxDeviation: device.maxDeviation,
    dir: cache.dir,
    diskBytes: cache.diskBytes,
    minBlobBytes: artifact.minBlobBytes,
    inlineLimitBytes: artifact.inlineSaveBytes,
    maxNodes: artifact.maxNodes,
    extraDomains: artifact.extraDomains,
    minFreeDiskBytes: cache.minFreeDiskBytes,
    allowHardLinks: store.allowHardLinks,
    allowOrt: artifact.allowOrt,
    scrubBytesPerSecond: artifact.scrubBytesPerSecond,
    pageInBytesPerSecond: artifact.pageInBytesPerSecond,
    compiler: {
      smallSlots: artifact.compilers,
      bigSlots: artifact.compilers,
      bigSourceBytes: artifact.smallSourceBytes,
      memoryBytes: artifact.compileMemoryBytes + (isGpu(runsOn) ? DRIVER_BYTES : 0),
      memoryFactor: artifact.compileMemoryFactor,
      deadlineMs: artifact.compileDeadlineMs,
      checkMs: artifact.checkMs,
      deadlineMsPerMiB: artifact.compileDeadlineMsPerMiB,
      isolatesTenants: worker.isolation !== 'shared',
    },
  }
}
