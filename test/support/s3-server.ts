/**
 * A real S3 server (Versity S3 Gateway over a temporary folder) on a free port, with credentials of its own, and the hands of those who
 * publish to it. `test/servers/install-s3.sh` builds it; where it is missing the tests that want it say so, in CI they fail.
 */
import type { ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  NoSuchKey,
  PutBucketVersioningCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { answers, endServer, freePort, isRunning, startServer } from './server-child.ts'

export const S3_PROGRAM = process.env.TEST_S3_SERVER ?? '.test-servers/versitygw'

/** For `describe(..., { skip: noS3Server })`: false where the server is here, and in CI, where it has to be. */
export const noS3Server: string | false =
  existsSync(S3_PROGRAM) || process.env.CI === 'true' ? false : `no ${S3_PROGRAM}: run test/servers/install-s3.sh`

const ACCESS_KEY = 'modelmux-test'
const SECRET_KEY = 'not-a-secret-of-anybody'
export const S3_REGION = 'eu-test-1'
/** Another process may take the free port first. */
const TRIES = 5

export interface S3ServerOptions {
  /** Buckets that keep every version of an object. */
  readonly versioned?: readonly string[]
  readonly buckets?: readonly string[]
}

export class S3Server {
  readonly port: number
  readonly #folder: string
  readonly #client: S3Client
  #child: ChildProcess

  private constructor(port: number, folder: string, child: ChildProcess) {
    this.port = port
    this.#folder = folder
    this.#child = child
    this.#client = new S3Client({
      endpoint: this.endpoint,
      region: S3_REGION,
      forcePathStyle: true,
      credentials: { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET_KEY },
    })
  }

  static async start({ versioned = [], buckets = [] }: S3ServerOptions = {}): Promise<S3Server> {
    const folder = await mkdtemp(join(tmpdir(), 'modelmux-s3-'))
    for (const part of ['data', 'versions']) await mkdir(join(folder, part))
    for (let tries = 1; ; tries++) {
      const port = await freePort()
      const child = startChild(folder, port)
      if (!(await answers(child, `http://127.0.0.1:${port}/`))) {
        if (tries < TRIES) continue
        await rm(folder, { recursive: true, force: true })
        throw new Error(`${S3_PROGRAM} ended ${TRIES} times before it listened`)
      }
      const server = new S3Server(port, folder, child)
      for (const bucket of [...buckets, ...versioned])
        await server.#client.send(new CreateBucketCommand({ Bucket: bucket }))
      for (const bucket of versioned)
        await server.#client.send(
          new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration: { Status: 'Enabled' } }),
        )
      return server
    }
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** What gives a process the credentials of this server and no others. */
  get env(): Readonly<Record<string, string>> {
    return {
      AWS_ACCESS_KEY_ID: ACCESS_KEY,
      AWS_SECRET_ACCESS_KEY: SECRET_KEY,
      AWS_REGION: S3_REGION,
      // As Python's SDK calls it.
      AWS_DEFAULT_REGION: S3_REGION,
      AWS_CONFIG_FILE: '/dev/null',
      AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
      AWS_EC2_METADATA_DISABLED: 'true',
    }
  }

  async put(
    bucket: string,
    key: string,
    body: Uint8Array | string,
    options: { readonly metadata?: Record<string, string>; readonly checksum?: 'CRC64NVME' | 'CRC32' | 'SHA256' } = {},
  ): Promise<{ etag: string; versionId: string | undefined }> {
    const { ETag = '', VersionId } = await this.#client.send(
      new PutObjectCommand({
        Bucket: bucket,
        Key: key,
        Body: body,
        Metadata: options.metadata,
        ChecksumAlgorithm: options.checksum,
      }),
    )
    return { etag: ETag, versionId: VersionId }
  }

  async putFile(bucket: string, key: string, path: string): Promise<void> {
    await this.put(bucket, key, await readFile(path), { checksum: 'CRC64NVME' })
  }

  /** Content of an object as text; undefined when there is none. */
  async text(bucket: string, key: string): Promise<string | undefined> {
    try {
      return (await this.bytes(bucket, key)).toString()
    } catch (error) {
      if (error instanceof NoSuchKey) return undefined
      throw error
    }
  }

  async bytes(bucket: string, key: string): Promise<Buffer> {
    const { Body } = await this.#client.send(new GetObjectCommand({ Bucket: bucket, Key: key }))
    return Buffer.from((await Body?.transformToByteArray()) ?? [])
  }

  /** Keys below a prefix, up to a thousand. */
  async keys(bucket: string, prefix = ''): Promise<string[]> {
    const { Contents = [] } = await this.#client.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix }))
    return Contents.map(({ Key = '' }) => Key)
  }

  /** Keys of every version of objects below a prefix, and of the marks of removed ones. */
  async kept(bucket: string, prefix: string): Promise<string[]> {
    const page = await this.#client.send(new ListObjectVersionsCommand({ Bucket: bucket, Prefix: prefix }))
    return [...(page.Versions ?? []), ...(page.DeleteMarkers ?? [])].map(({ Key = '' }) => Key)
  }

  /** Uploads in parts that were begun and neither completed nor aborted. */
  async openUploads(bucket: string): Promise<number> {
    const { Uploads = [] } = await this.#client.send(new ListMultipartUploadsCommand({ Bucket: bucket }))
    return Uploads.length
  }

  async remove(bucket: string, key: string): Promise<void> {
    await this.#client.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }))
  }

  /** Ends the process; what is stored stays for `resume`. */
  async halt(): Promise<void> {
    await endServer(this.#child)
  }

  /** Starts again on the same port, with what is stored; nothing when it runs. */
  async resume(): Promise<void> {
    if (isRunning(this.#child)) return
    this.#child = startChild(this.#folder, this.port)
    if (!(await answers(this.#child, this.endpoint))) throw new Error(`${S3_PROGRAM} did not start again`)
  }

  /** Idempotent. */
  async stop(): Promise<void> {
    this.#client.destroy()
    await endServer(this.#child)
    await rm(this.#folder, { recursive: true, force: true })
  }
}

function startChild(folder: string, port: number): ChildProcess {
  return startServer(
    S3_PROGRAM,
    // Options of the gateway, the kind of backend, options of the backend.
    [
      '--port',
      `127.0.0.1:${port}`,
      '--region',
      S3_REGION,
      '--keep-alive',
      '--quiet',
      'posix',
      '--versioning-dir',
      join(folder, 'versions'),
      join(folder, 'data'),
    ],
    { stdio: 'ignore', env: { ROOT_ACCESS_KEY: ACCESS_KEY, ROOT_SECRET_KEY: SECRET_KEY, PATH: process.env.PATH } },
  )
}
