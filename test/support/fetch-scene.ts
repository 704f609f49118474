/** A remote store over a real object server with a fault proxy between them, and a cache folder. */
import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ModelVersion, modelKey } from '../../src/domain/model-version.ts'
import type { RemoteFile, RemoteSource } from '../../src/domain/remote-source.ts'
import { systemClock } from '../../src/lib/clock.ts'
import type { ObjectReader } from '../../src/store/object-reader.ts'
import { REMOTE_STORE_LIMITS, RemoteStore, type RemoteStoreLimits } from '../../src/store/remote-store.ts'
import { Staging, type StagingOptions } from '../../src/store/staging.ts'
import { FaultProxy } from './fault-proxy.ts'
import { modelVersion } from './model-version.ts'
import { httpReader, ObjectServer, sha256Of } from './object-server.ts'

export type SceneEvent = { readonly name: string } & Readonly<Record<string, unknown>>

/** Small, so that a short object has many ranges; a read stands still for as long as only a broken one does on a busy machine. */
export const SMALL_LIMITS: RemoteStoreLimits = {
  ...REMOTE_STORE_LIMITS,
  rangeBytes: 64 * 1024,
  idleMs: 2000,
  backoff: { baseMs: 1, maxMs: 5 },
  totalMs: 20_000,
}

export class FetchScene {
  readonly server: ObjectServer
  readonly proxy: FaultProxy
  readonly cache: string
  readonly events: SceneEvent[] = []
  readonly #sources = new Map<string, RemoteSource>()
  readonly #stores: RemoteStore[] = []

  private constructor(server: ObjectServer, proxy: FaultProxy, cache: string) {
    this.server = server
    this.proxy = proxy
    this.cache = cache
  }

  static async set(): Promise<FetchScene> {
    const server = await ObjectServer.start()
    return new FetchScene(server, await FaultProxy.start(server.url), await mkdtemp(join(tmpdir(), 'modelmux-fetch-')))
  }

  /** Another store on the same cache folder is what another process would have. */
  async store(
    options: {
      readonly limits?: Partial<RemoteStoreLimits>
      readonly staging?: Partial<StagingOptions>
      readonly reader?: ObjectReader
    } = {},
  ): Promise<RemoteStore> {
    const onEvent = (name: string, fields: Readonly<Record<string, unknown>>) => this.events.push({ name, ...fields })
    const staging = new Staging({
      dir: this.staging,
      budgetBytes: 2 ** 30,
      minFreeBytes: 0,
      clock: systemClock,
      onEvent,
      ...options.staging,
    })
    await staging.open()
    const store = new RemoteStore({
      reader: options.reader ?? httpReader(this.proxy.url),
      sourceOf: ({ key }) => this.#sources.get(key) ?? { files: [] },
      staging,
      limits: { ...SMALL_LIMITS, ...options.limits },
      replacedRetryMs: 1000,
      clock: systemClock,
      random: Math.random,
      onEvent,
    })
    this.#stores.push(store)
    return store
  }

  /** Publishes a version of these files; what a registry may not know is taken from `known`. */
  publish(name: string, contents: Readonly<Record<string, Buffer>>, known = (file: RemoteFile) => file): ModelVersion {
    const files = Object.entries(contents).map(([path, content]) => ({
      ...known(this.server.put(`${name}/1/${path}`, content)),
      path,
    }))
    return this.resolve(modelVersion(name), files)
  }

  /** The version as it is when its registry finds these files. */
  resolve({ name }: ModelVersion, files: readonly RemoteFile[]): ModelVersion {
    const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
    const sourceId = sha256Of(Buffer.from(JSON.stringify([name, files]))).slice(0, 24)
    const version = { ...modelVersion(name, '1', sourceId), key: modelKey(name, '1', sourceId), bytes }
    this.#sources.set(version.key, { files })
    return version
  }

  filesOf({ key }: ModelVersion): readonly RemoteFile[] {
    return this.#sources.get(key)?.files ?? []
  }

  get staging(): string {
    return join(this.cache, 'staging')
  }

  /** What lies in the staging folder. */
  async staged(): Promise<string[]> {
    return (await readdir(this.staging)).toSorted()
  }

  async record(version: ModelVersion): Promise<Record<string, unknown>> {
    const text = await readFile(join(this.staging, version.sourceId, 'source.json'), 'utf8')
    return JSON.parse(text) as Record<string, unknown>
  }

  eventsOf(name: string): SceneEvent[] {
    return this.events.filter((event) => event.name === name)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#stores.map((store) => store.close()))
    await this.proxy.close()
    await this.server.close()
    await rm(this.cache, { recursive: true, force: true })
  }
}

export function content(bytes: number): Buffer {
  return randomBytes(bytes)
}
