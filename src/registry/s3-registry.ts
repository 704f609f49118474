/** Models in a folder of an S3 bucket: listed whole in a sweep; a single name in two calls at a time. */
import type { ModelVersion } from '../domain/model-version.ts'
import type { RemoteFile, RemoteSource } from '../domain/remote-source.ts'
import type { S3Folder } from '../domain/s3-uri.ts'
import { s3Location } from '../domain/s3-uri.ts'
import type { RemoteRegistryOptions } from './remote-registry.ts'
import { RemoteRegistry } from './remote-registry.ts'
import type { ReadSmall } from './remote-sidecar.ts'
import type { ListPage } from './s3-listing.ts'
import { S3Sweeper } from './s3-sweeper.ts'

/** `settleMs`: a version counts once its newest object is this old. */
export interface S3RegistryOptions extends Omit<RemoteRegistryOptions<readonly RemoteFile[]>, 'place' | 'sweeper'> {
  readonly folder: S3Folder
  readonly list: ListPage
  readonly read: ReadSmall
}

export class S3Registry extends RemoteRegistry<readonly RemoteFile[]> {
  constructor(options: S3RegistryOptions) {
    const { folder, list, read, settleMs, defaults, clock } = options
    super({
      ...options,
      place: s3Location(folder.bucket, folder.prefix),
      sweeper: (parts) => new S3Sweeper({ ...parts, folder, list, read, settleMs, defaults, clock }),
    })
  }

  /** Where the files of a version are. @throws GatewayError ARTIFACT_UNREACHABLE for one that is not known any more */
  sourceOf(version: ModelVersion): RemoteSource {
    return { files: this.filesOf(version) }
  }
}
