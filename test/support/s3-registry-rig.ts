/** An S3Registry on a folder of a real bucket and a clock that the test moves, with the hands of a publisher and everything that it told. */
import assert from 'node:assert/strict'
import { s3Lister, s3SmallReader } from '../../src/app/s3-access.ts'
import { S3 } from '../../src/clients/s3.ts'
import type { ErrorCode } from '../../src/domain/errors.ts'
import { GatewayError } from '../../src/domain/errors.ts'
import type { ModelRef } from '../../src/domain/model-ref.ts'
import { parseS3Folder } from '../../src/domain/s3-uri.ts'
import { systemClock } from '../../src/lib/clock.ts'
import type { RegistryChange } from '../../src/registry/registry.ts'
import { RegistrySnapshot } from '../../src/registry/registry-snapshot.ts'
import { UnreadableError } from '../../src/registry/remote-sidecar.ts'
import { S3Registry } from '../../src/registry/s3-registry.ts'
import { until } from './eventually.ts'
import { ManualClock } from './manual-clock.ts'
import type { S3Server } from './s3-server.ts'

/** Unless a test says otherwise, the clock is far enough ahead that what the test writes has settled. */
const AHEAD_MS = 3_600_000

export interface S3RigOptions {
  readonly server: S3Server
  /** `s3://bucket/prefix`; a rig of its own wants a prefix of its own. */
  readonly uri: string
  readonly settleMs?: number
  /** Where to keep what is known. */
  readonly snapshot?: string
  readonly aheadMs?: number
}

export class S3RegistryRig {
  readonly pollMs = 30_000
  readonly clock: ManualClock
  readonly registry: S3Registry
  readonly changes: RegistryChange[] = []
  readonly events: Array<readonly [name: string, fields: Readonly<Record<string, unknown>>]> = []
  /** Lists and reads of small objects so far. */
  calls = 0
  /** Small objects cannot be read, for a passing reason. */
  failsReads = false
  #hold: (() => Promise<void>) | undefined
  readonly #server: S3Server
  readonly #bucket: string
  readonly #prefix: string
  readonly #s3: S3

  constructor({ server, uri, settleMs = 0, snapshot, aheadMs = AHEAD_MS }: S3RigOptions) {
    this.#server = server
    this.clock = new ManualClock({ wall: systemClock.wall() + aheadMs })
    const folder = parseS3Folder(uri)
    this.#bucket = folder.bucket
    this.#prefix = folder.prefix
    Object.assign(process.env, server.env)
    this.#s3 = new S3({
      endpoint: server.endpoint,
      region: null,
      pathStyle: true,
      attempts: 1,
      connectTimeoutMs: 5000,
      answerTimeoutMs: 20_000,
      clock: systemClock,
      maxConnections: 8,
    })
    const list = s3Lister(this.#s3)
    const read = s3SmallReader(this.#s3, folder)
    const { clock } = this
    this.registry = new S3Registry({
      folder,
      list: async (request, signal) => {
        this.calls++
        const page = await list(request, signal)
        await this.#hold?.()
        return page
      },
      read: (object) => {
        this.calls++
        if (this.failsReads) return Promise.reject(new UnreadableError('S3 answered 500', false))
        return read(object)
      },
      pollMs: this.pollMs,
      settleMs,
      defaults: { batching: 'auto', maxRows: 64, maxDelayMs: 0, intraOpThreads: 1 },
      ...(snapshot === undefined ? {} : { snapshot: new RegistrySnapshot({ path: snapshot, origin: uri, clock }) }),
      clock,
      random: () => 0,
      onEvent: (name, fields) => this.events.push([name, fields]),
    })
    this.registry.onChange((change) => this.changes.push(change))
  }

  async put(path: string, content: string): Promise<void> {
    await this.#server.put(this.#bucket, `${this.#prefix}${path}`, content)
  }

  async remove(path: string): Promise<void> {
    await this.#server.remove(this.#bucket, `${this.#prefix}${path}`)
  }

  /** Resolves when a sweep ended that began after the call; the first is the one of the start. */
  async sweep(): Promise<void> {
    if (this.registry.lastScanMs !== undefined) {
      await this.clock.advance(this.pollMs)
    }
    await until('a sweep has ended', () => this.registry.ageMs === 0)
    await this.turn()
  }

  /** Resolves when the name was looked for, if it had to be. */
  async looked(name: string): Promise<void> {
    await until('the name was looked for', () => this.codeOf({ name }) !== 'MODEL_LOADING')
  }

  /** From here on, pages of lists are held back once S3 has given them, until `letOthers` those that come after it. */
  holdLists(): { readonly waiting: number; letOthers(): void; release(): void } {
    const { promise, resolve } = Promise.withResolvers<void>()
    let waiting = 0
    this.#hold = () => {
      waiting++
      return promise
    }
    return {
      get waiting() {
        return waiting
      },
      letOthers: () => {
        this.#hold = undefined
      },
      release: resolve,
    }
  }

  /** What `resolve` answers: a version, or the code of the refusal. */
  codeOf(ref: ModelRef): string {
    try {
      return this.registry.resolve(ref).version
    } catch (error) {
      assert.ok(error instanceof GatewayError)
      return error.code satisfies ErrorCode
    }
  }

  told(event: string): Array<Readonly<Record<string, unknown>>> {
    return this.events.filter(([name]) => name === event).map(([, fields]) => fields)
  }

  async close(): Promise<void> {
    await this.registry.close()
    this.#s3.close()
  }

  private async turn(): Promise<void> {
    await new Promise((resolve) => {
      setImmediate(resolve)
    })
  }
}
