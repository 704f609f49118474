/**
 * A real S3 server on this machine (Versity S3 Gateway over a folder), with credentials of its own. `test/servers/install-s3.sh` builds
 * it; `TEST_S3_SERVER` names another place.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
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
  readonly #folder: string
  readonly #clock: Clock
  #child: ChildProcess | undefined

  private constructor(folder: string, port: number, login: S3Login, clock: Clock) {
    this.#folder = folder
    this.port = port
    this.login = login
    this.#clock = clock
  }

  /** Whether it is installed. */
  static isHere(): boolean {
    return existsSync(PROGRAM)
  }

  /** `folder` keeps what is uploaded. */
  static async start(folder: string, buckets: readonly string[], clock: Clock = systemClock): Promise<S3Process> {
    // To this backend, a folder is a bucket.
    for (const bucket of buckets) await mkdir(join(folder, bucket), { recursive: true })
    const login = { region: REGION, accessKey: 'bench', secretKey: randomBytes(16).toString('hex') }
    const server = new S3Process(folder, await freePort(), login, clock)
    await server.restart()
    return server
  }

  /** Starts it on the same port, with what it stored. */
  async restart(): Promise<void> {
    const place = ['--port', `127.0.0.1:${this.port}`, '--region', REGION]
    const child = spawn(PROGRAM, [...place, '--keep-alive', '--quiet', 'posix', this.#folder], {
      stdio: 'ignore',
      env: { ...process.env, ROOT_ACCESS_KEY: this.login.accessKey, ROOT_SECRET_KEY: this.login.secretKey },
    })
    const failed = new Promise<Error>((resolve) => {
      child.once('error', resolve)
      child.once('exit', () => resolve(new Error('it ended')))
    })
    const killAtExit = (): boolean => child.kill('SIGKILL')
    process.once('exit', killAtExit)
    child.once('close', () => process.off('exit', killAtExit))
    this.#child = child
    const problem = await Promise.race([failed, answers(this.port, this.#clock)])
    if (problem === undefined) return
    child.kill('SIGKILL')
    throw new Error('the S3 server did not start; test/servers/install-s3.sh builds it', { cause: problem })
  }

  /** It keeps its connections and says nothing, until `thaw`. */
  freeze(): void {
    this.#child?.kill('SIGSTOP')
  }

  thaw(): void {
    this.#child?.kill('SIGCONT')
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

  /** Brings a version there as a user would: `modelmux publish FOLDER s3://.../NAME/VERSION FLAGS`. `endpoint`: of a line before it. */
  async publish(
    folder: string,
    target: string,
    { endpoint = this.endpoint, flags = [] }: { readonly endpoint?: string; readonly flags?: readonly string[] } = {},
  ): Promise<void> {
    const env = {
      ...process.env,
      ...this.env,
      MODELMUX_STORE_S3_ENDPOINT: endpoint,
      MODELMUX_STORE_S3_PATH_STYLE: 'true',
    }
    await run(process.execPath, ['--no-warnings', MAIN, 'publish', folder, target, '--json', ...flags], { env })
  }

  /** At once, in the middle of whatever it does. Idempotent. */
  async stop(): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const closed = once(child, 'close')
    child.kill('SIGKILL')
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
