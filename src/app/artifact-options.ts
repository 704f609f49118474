/** The configuration in the words of the artifact store. */
import type { ArtifactStoreOptions } from '../artifact/options.ts'
import type { Config } from '../config/schema.ts'

export function artifactOptions({ artifact, cache, store }: Config): Omit<ArtifactStoreOptions, 'clock'> {
  return {
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
      memoryBytes: artifact.compileMemoryBytes,
      memoryFactor: artifact.compileMemoryFactor,
      deadlineMs: artifact.compileDeadlineMs,
      checkMs: artifact.checkMs,
      deadlineMsPerMiB: artifact.compileDeadlineMsPerMiB,
    },
  }
}
