/** A server of models in S3 with a line between the two, for benches and faults. What is started ends with its owner's stack. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { HttpProbe } from './http-probe.ts'
import { LatencyProxy } from './latency-proxy.ts'
import { cacheFolder, modelsFolder } from './running-server.ts'
import { S3Process } from './s3-process.ts'
import { ServerProcess } from './server-process.ts'

export interface S3SceneSetup {
  /** Holds `models`; what is in the bucket, the cache and the configuration come beside it. */
  readonly folder: string
  /** Of `models`, which are published. */
  readonly names: readonly string[]
  /** Each way. */
  readonly delayMs: number
  readonly signal: AbortSignal
  onPublish?(done: number): void
}

export interface S3Scene {
  readonly s3: S3Process
  readonly line: LatencyProxy
  readonly server: ServerProcess
  readonly probe: HttpProbe
}

export const BUCKET = 'models'
const SCAN_LIMIT_MS = 60_000
/** The listing is done when the server is ready, and no other comes: what passes the line belongs to a fetch. */
const POLL_MS = 3_600_000

export async function setS3Scene(setup: S3SceneSetup, stack: AsyncDisposableStack): Promise<S3Scene> {
  const { folder, names, delayMs, signal } = setup
  const s3 = await S3Process.start(join(folder, 's3'), [BUCKET])
  stack.defer(() => s3.stop())
  for (const [i, name] of names.entries()) {
    signal.throwIfAborted()
    await s3.publish(join(modelsFolder(folder), name, '1'), `s3://${BUCKET}/${name}/1`)
    setup.onPublish?.(i + 1)
  }
  const line = await LatencyProxy.start(s3.port, delayMs)
  stack.defer(() => line.stop())
  const config = join(folder, 'modelmux.yaml')
  // JSON is YAML.
  await writeFile(config, JSON.stringify({ store: { s3: { endpoint: line.url, pathStyle: true, pollMs: POLL_MS } } }))
  const args = ['--models', `s3://${BUCKET}/`, '--cache', cacheFolder(folder), '--config', config]
  const server = await ServerProcess.serve({ args, env: s3.env })
  stack.defer(async () => void (await server.stop()))
  const probe = new HttpProbe(server.target)
  stack.defer(() => probe.close())
  const last = names.at(-1)
  if (last !== undefined) await probe.awaitReady(last, SCAN_LIMIT_MS, signal)
  return { s3, line, server, probe }
}
