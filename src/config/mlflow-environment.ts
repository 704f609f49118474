/**
 * The environment variables that MLflow's own clients read, under their names and with their precedence, so that what works for those
 * works here: server, credentials, TLS, workspace, S3. Read once; what is in it never goes into a message.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { HttpCredentials, HttpTls } from '../domain/http-identity.ts'
import { ConfigError } from './config-error.ts'

export interface MlflowEnvironment {
  /** Of the registry, without credentials; undefined where nobody names one, or one that is not reached over HTTP. */
  readonly uri: string | undefined
  readonly credentials: HttpCredentials | undefined
  readonly tls: HttpTls
  readonly workspace: string | undefined
  /** URL of the S3 server that artifacts lie on; undefined: AWS. */
  readonly s3Endpoint: string | undefined
}

type Env = Readonly<Record<string, string | undefined>>
/** A file's text; undefined where there is no such file. @throws Error */
export type ReadText = (path: string) => string | undefined

const FLAGS: Readonly<Record<string, boolean>> = { true: true, '1': true, false: false, '0': false }
/** A header cannot carry more than visible ASCII. */
const HEADER_TEXT = /^[\x20-\x7e]+$/

/**
 * @param named URL of the server where it is named elsewhere: then the environment's is not used, nor credentials that stand in it
 * @throws ConfigError with every problem found
 */
export function readMlflowEnvironment(
  named?: string,
  env: Env = process.env,
  read: ReadText = readIfThere,
): MlflowEnvironment {
  const problems: string[] = []
  const attempt = (name: string, path: string): string | undefined => {
    try {
      const found = read(path)
      if (found === undefined) problems.push(`environment ${name}: there is no file of that name`)
      return found
    } catch (error) {
      problems.push(`environment ${name}: the file cannot be read (${codeOf(error)})`)
      return undefined
    }
  }
  const server = named === undefined ? serverOf(env) : { uri: named, credentials: undefined }
  const workspace = textOf(env, 'MLFLOW_WORKSPACE')?.trim()
  if (workspace !== undefined && !HEADER_TEXT.test(workspace))
    problems.push('environment MLFLOW_WORKSPACE: expected the name of a workspace')
  const tls = tlsOf(env, attempt, problems)
  const credentials = credentialsOf(env, read, problems) ?? server?.credentials
  if (problems.length > 0) throw new ConfigError(problems)
  return { uri: server?.uri, credentials, tls, workspace, s3Endpoint: textOf(env, 'MLFLOW_S3_ENDPOINT_URL') }
}

function serverOf(env: Env): { readonly uri: string; readonly credentials: HttpCredentials | undefined } | undefined {
  const text = textOf(env, 'MLFLOW_REGISTRY_URI') ?? textOf(env, 'MLFLOW_TRACKING_URI')
  // MLflow's clients also take databases and folders.
  if (text === undefined || !/^https?:/i.test(text) || !URL.canParse(text)) return undefined
  const url = new URL(text)
  const user = decoded(url.username)
  const password = decoded(url.password)
  url.username = ''
  url.password = ''
  const credentials: HttpCredentials | undefined =
    user === '' || password === '' ? undefined : { kind: 'basic', user, password }
  return { uri: url.href.replace(/\/$/, ''), credentials }
}

/** Each of user and password from the environment, else from the file; both, or the token. */
function credentialsOf(env: Env, read: ReadText, problems: string[]): HttpCredentials | undefined {
  const file = credentialsFile(env, read, problems)
  const user = textOf(env, 'MLFLOW_TRACKING_USERNAME') ?? file.get('mlflow_tracking_username')
  const password = textOf(env, 'MLFLOW_TRACKING_PASSWORD') ?? file.get('mlflow_tracking_password')
  if (user !== undefined && password !== undefined) return { kind: 'basic', user, password }
  const token = textOf(env, 'MLFLOW_TRACKING_TOKEN')
  if (token === undefined) return undefined
  if (!HEADER_TEXT.test(token)) problems.push('environment MLFLOW_TRACKING_TOKEN: a header cannot carry it')
  return { kind: 'bearer', token }
}

/** Section `[mlflow]` of `~/.mlflow/credentials`, in the format of Python's configparser: keys in lower case. */
function credentialsFile(env: Env, read: ReadText, problems: string[]): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  const home = textOf(env, 'HOME')
  if (home === undefined) return found
  let text: string | undefined
  try {
    text = read(join(home, '.mlflow', 'credentials'))
  } catch (error) {
    problems.push(`~/.mlflow/credentials: the file cannot be read (${codeOf(error)})`)
  }
  let section = ''
  for (const line of (text ?? '').split('\n')) {
    const head = /^\[(.*)\]\s*$/.exec(line)?.[1]
    if (head !== undefined) section = head
    const [, key, value] = /^\s*([^#;=:\s][^=:]*?)\s*[=:]\s*(.*?)\s*$/.exec(line) ?? []
    if (section === 'mlflow' && key !== undefined && value !== undefined && value !== '')
      found.set(key.toLowerCase(), value)
  }
  return found
}

function tlsOf(env: Env, attempt: (name: string, path: string) => string | undefined, problems: string[]): HttpTls {
  const flag = textOf(env, 'MLFLOW_TRACKING_INSECURE_TLS')
  const isInsecure = flag === undefined ? false : FLAGS[flag.toLowerCase()]
  if (isInsecure === undefined) problems.push('environment MLFLOW_TRACKING_INSECURE_TLS: expected true, false, 1 or 0')
  const pem = (name: string): string | undefined => {
    const path = textOf(env, name)
    return path === undefined ? undefined : attempt(name, path)
  }
  const authorities = pem('MLFLOW_TRACKING_SERVER_CERT_PATH')
  const clientCertificate = pem('MLFLOW_TRACKING_CLIENT_CERT_PATH')
  if (isInsecure === true && authorities !== undefined)
    problems.push('environment MLFLOW_TRACKING_INSECURE_TLS and MLFLOW_TRACKING_SERVER_CERT_PATH: expected one of them')
  return {
    isInsecure: isInsecure ?? false,
    ...(authorities === undefined ? {} : { authorities }),
    ...(clientCertificate === undefined ? {} : { clientCertificate }),
  }
}

function textOf(env: Env, name: string): string | undefined {
  const value = env[name]
  return value === undefined || value === '' ? undefined : value
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'unknown'
}
