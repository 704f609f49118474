/** What of a fingerprint is the same for every source that is compiled here. */
import type { Fingerprint } from '../domain/artifact.ts'
import { providerOf } from '../domain/device.ts'
import { cpuIdentity } from './cpu-identity.ts'
import type { ArtifactOptions } from './options.ts'

export type Platform = Omit<Fingerprint, 'source'>

/** Grows when the compiler's own work changes what an artifact is. */
const COMPILER_REVISION = 1

export async function platformOf(options: ArtifactOptions, ortVersion: string): Promise<Platform> {
  return {
    ortVersion,
    provider: providerOf(options.device),
    cpu: await cpuIdentity(),
    options: `v${COMPILER_REVISION} blobs=${options.minBlobBytes}`,
  }
}
