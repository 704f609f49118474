/**
 * A real MLflow server (SQLite, artifacts through its proxy, in a temporary folder) on a free port, and the hands of those who log models
 * there with MLflow itself. `test/servers/install-mlflow.sh` installs it; where it is missing the tests that want it say so, in CI they
 * fail.
 */
import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { answers, endServer, freePort, isRunning, startServer } from './server-child.ts'

export const MLFLOW_PYTHON = process.env.TEST_MLFLOW_PYTHON ?? '.venv-mlflow/bin/python'

/** For `describe(..., { skip: noMlflowServer })`: false where the server is here, and in CI, where it has to be. */
export const noMlflowServer: string | false =
  existsSync(MLFLOW_PYTHON) || process.env.CI === 'true'
    ? false
    : `no ${MLFLOW_PYTHON}: run test/servers/install-mlflow.sh`

const LOG_MODELS = fileURLToPath(new URL('../servers/log_models.py', import.meta.url))
const LOAD_MODEL = fileURLToPath(new URL('../servers/load_model.py', import.meta.url))
/** Another process may take the free port first. */
const TRIES = 3
/** It imports for five seconds where nobody else wants the cores. */
const START_BOUND_MS = 180_000

export interface LogOrder {
  /** An ONNX file. */
  readonly file: string
  readonly name: string
  /** Rows of a model with one float32 input: becomes `input_example.json`. */
  readonly example?: readonly (readonly number[])[]
  readonly aliases?: readonly string[]
  readonly tags?: Readonly<Record<string, string>>
  /** Weights beside the graph, which is what MLflow does unless told otherwise. */
  readonly externalData?: boolean
}

export interface MlflowServerOptions {
  /** Where the proxy keeps artifacts, `s3://bucket/prefix`; a folder of the server's own when left out. */
  readonly destination?: string
  /** Where clients are told to put artifacts by themselves, past the proxy. */
  readonly root?: string
  /** Only this user is let in, who may do everything; and models are kept in workspaces. */
  readonly admin?: { readonly user: string; readonly password: string }
  /** What it takes to get there, for the server and for who logs models. */
  readonly env?: Readonly<Record<string, string>>
}

export interface Loaded {
  /** Rows of its first output. */
  readonly outputs: readonly (readonly number[])[]
  /** MLflow's `pyfunc` gives the same. */
  readonly isPyfunc: boolean
}

export interface Logged {
  readonly name: string
  readonly version: string
  readonly runId: string
}

export class MlflowServer {
  readonly port: number
  readonly #folder: string
  readonly #options: MlflowServerOptions
  #child: ChildProcess

  private constructor(port: number, folder: string, options: MlflowServerOptions, child: ChildProcess) {
    this.port = port
    this.#folder = folder
    this.#options = options
    this.#child = child
  }

  static async start(options: MlflowServerOptions = {}): Promise<MlflowServer> {
    const folder = await mkdtemp(join(tmpdir(), 'modelmux-mlflow-'))
    // MLflow takes longer to make an empty database than for the rest of its start.
    await copyFile(join(dirname(MLFLOW_PYTHON), '../empty.sqlite'), join(folder, 'mlflow.sqlite'))
    if (options.admin !== undefined) await writeFile(join(folder, AUTH_FILE), authText(folder, options.admin))
    for (let tries = 1; ; tries++) {
      const port = await freePort()
      const child = startChild(folder, port, options)
      if (await answers(child, healthOf(port), START_BOUND_MS)) return new MlflowServer(port, folder, options, child)
      if (tries < TRIES) continue
      await rm(folder, { recursive: true, force: true })
      throw new Error(`MLflow ended ${TRIES} times before it listened`)
    }
  }

  get uri(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** What gives a process the user and password of this server. */
  get env(): Readonly<Record<string, string>> {
    const { admin } = this.#options
    return admin === undefined ? {} : { MLFLOW_TRACKING_USERNAME: admin.user, MLFLOW_TRACKING_PASSWORD: admin.password }
  }

  /** Logs models with MLflow's own client, in one process, as importing it takes seconds. */
  async log(orders: readonly LogOrder[]): Promise<readonly Logged[]> {
    const files = orders.map((order) => ({ ...order, file: resolve(order.file) }))
    return (await this.#python(LOG_MODELS, files)) as readonly Logged[]
  }

  /** Loads a model (`models:/name@alias`) with MLflow's own client, and runs it on rows of its one float32 input. */
  async load(uri: string, inputs: readonly (readonly number[])[]): Promise<Loaded> {
    return (await this.#python(LOAD_MODEL, { uri, inputs })) as Loaded
  }

  async #python(script: string, order: unknown): Promise<unknown> {
    const child = spawn(MLFLOW_PYTHON, [script], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: {
        ...QUIET,
        ...this.env,
        ...this.#options.env,
        MLFLOW_TRACKING_URI: this.uri,
        HOME: this.#folder,
        PATH: process.env.PATH,
      },
    })
    child.stdin.on('error', () => undefined)
    child.stdin.end(JSON.stringify(order))
    const [output, complaints] = await Promise.all([text(child.stdout), text(child.stderr)])
    try {
      return JSON.parse(output)
    } catch (error) {
      throw new Error(`MLflow's own client failed: ${complaints.slice(-4000)}`, { cause: error })
    }
  }

  /** Ends the process; what is stored stays for `resume`. */
  async halt(): Promise<void> {
    await endServer(this.#child)
  }

  /** Starts again on the same port, with what is stored; nothing when it runs. */
  async resume(): Promise<void> {
    if (isRunning(this.#child)) return
    this.#child = startChild(this.#folder, this.port, this.#options)
    if (!(await answers(this.#child, healthOf(this.port), START_BOUND_MS)))
      throw new Error('MLflow did not start again')
  }

  /** Idempotent. */
  async stop(): Promise<void> {
    await endServer(this.#child)
    await rm(this.#folder, { recursive: true, force: true })
  }
}

/** Nothing leaves this machine, and nothing is started beside the server. */
const QUIET = {
  MLFLOW_DISABLE_TELEMETRY: 'true',
  DO_NOT_TRACK: 'true',
  MLFLOW_SERVER_ENABLE_JOB_EXECUTION: 'false',
  GIT_PYTHON_REFRESH: 'quiet',
}

const AUTH_FILE = 'auth.ini'

function authText(folder: string, { user, password }: NonNullable<MlflowServerOptions['admin']>): string {
  return [
    '[mlflow]',
    'default_permission = READ',
    `database_uri = sqlite:///${join(folder, 'auth.sqlite')}`,
    `admin_username = ${user}`,
    `admin_password = ${password}`,
    'authorization_function = mlflow.server.auth:authenticate_request_basic_auth',
    '',
  ].join('\n')
}

/** What `mlflow server --serve-artifacts --workers 1` starts, without the process that only waits for it. */
function startChild(
  folder: string,
  port: number,
  { destination, root, admin, env }: MlflowServerOptions,
): ChildProcess {
  const database = `sqlite:///${join(folder, 'mlflow.sqlite')}`
  const app = admin === undefined ? ['mlflow.server.fastapi_app:app'] : ['--factory', 'mlflow.server.auth:create_app']
  return startServer(
    MLFLOW_PYTHON,
    ['-m', 'uvicorn', '--host', '127.0.0.1', '--port', `${port}`, '--log-level', 'critical', ...app],
    {
      stdio: 'ignore',
      env: {
        ...QUIET,
        ...env,
        _MLFLOW_SGI_NAME: 'uvicorn',
        _MLFLOW_SERVER_FILE_STORE: database,
        _MLFLOW_SERVER_REGISTRY_STORE: database,
        _MLFLOW_SERVER_ARTIFACT_ROOT: root ?? 'mlflow-artifacts:/',
        _MLFLOW_SERVER_ARTIFACT_DESTINATION: destination ?? join(folder, 'artifacts'),
        _MLFLOW_SERVER_SERVE_ARTIFACTS: 'true',
        ...(admin === undefined
          ? {}
          : {
              MLFLOW_ENABLE_WORKSPACES: 'true',
              MLFLOW_AUTH_CONFIG_PATH: join(folder, AUTH_FILE),
              MLFLOW_FLASK_SERVER_SECRET_KEY: 'signs the pages that nobody looks at',
            }),
        HOME: folder,
        PATH: process.env.PATH,
      },
    },
  )
}

function healthOf(port: number): string {
  return `http://127.0.0.1:${port}/health`
}
