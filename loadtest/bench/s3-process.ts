/**
 * A real S3 server on this machine (Versity S3 Gateway over a folder), with credentials of its own. `test/servers/install-s3.sh` builds
 * it; `TEST_S3_SERVER` names another place.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type Clock, pause, systemClock } from '../../src/lib/clock.ts'

const run = promisify(execFile)
const PROGRAM = process.env.TEST_S3_SERVER ?? fileURLToPath(new URL('../../.test-servers/versitygw', import.meta.url))
const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const REGION = 'eu-bench-1'
const START_LIMIT_MS = 30_000
const POLL_MS = 50

export interface S3Login {
  readonly region: string
  readonly accessKey: string
  readonly secretKey: string
}

export class S3Process {
  readonly port: number
  readonly login: S3Login
  readonly #child: ChildProcess

  private constructor(port: number, login: S3Login, child: ChildProcess) {
    this.port = port
    this.login = login
    this.#child = child
  }

  /** `folder` keeps what is uploaded; each folder of `buckets` is a bucket. */
  static async start(folder: string, buckets: readonly string[], clock: Clock = systemClock): Promise<S3Process> {
    // To this backend, a folder is a bucket.
    for (const bucket of buckets) await mkdir(join(folder, bucket), { recursive: true })
    const login = { region: REGION, accessKey: 'bench', secretKey: randomBytes(16).toString('hex') }
    const port = await freePort()
    const child = spawn(
      PROGRAM,
      ['--port', `127.0.0.1:${port}`, '--region', REGION, '--keep-alive', '--quiet', 'posix', folder],
      {
        stdio: 'ignore',
        env: { ...process.env, ROOT_ACCESS_KEY: login.accessKey, ROOT_SECRET_KEY: login.secretKey },
      },
    )
    const failed = new Promise<Error>((resolve) => {
      child.once('error', resolve)
      child.once('exit', () => resolve(new Error('it ended')))
    })
    const killAtExit = (): boolean => child.kill('SIGKILL')
    process.once('exit', killAtExit)
    child.once('close', () => process.off('exit', killAtExit))
    const problem = await Promise.race([failed, answers(port, clock)])
    if (problem === undefined) return new S3Process(port, login, child)
    child.kill('SIGKILL')
    throw new Error(`${PROGRAM} did not start (test/servers/install-s3.sh builds it)`, { cause: problem })
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** What gives a process the credentials of this server and no others. */
  get env(): Readonly<Record<string, string>> {
    return {
      AWS_ACCESS_KEY_ID: this.login.accessKey,
      AWS_SECRET_ACCESS_KEY: this.login.secretKey,
      AWS_REGION: REGION,
      AWS_CONFIG_FILE: '/dev/null',
      AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
      AWS_EC2_METADATA_DISABLED: 'true',
    }
  }

  /** Brings a version there as a user would: `modelmux publish FOLDER s3://.../NAME/VERSION`. */
  async publish(folder: string, target: string): Promise<void> {
    const env = {
      ...process.env,
      ...this.env,
      MODELMUX_STORE_S3_ENDPOINT: this.endpoint,
      MODELMUX_STORE_S3_PATH_STYLE: 'true',
    }
    await run(process.execPath, ['--no-warnings', MAIN, 'publish', folder, target, '--json'], { env })
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const closed = once(this.#child, 'close')
    this.#child.kill('SIGKILL')
    await closed
  }
}

async function answers(port: number, clock: Clock): Promise<Error | undefined> {
  const endsAt = clock.now() + START_LIMIT_MS
  while ((await fetch(`http://127.0.0.1:${port}/`).catch(() => undefined)) === undefined) {
    if (clock.now() > endsAt) return new Error(`it did not answer in ${START_LIMIT_MS} ms`)
    await pause(clock, POLL_MS)
  }
  return undefined
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  return port
}
