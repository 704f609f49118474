/** MLflow registries as the place of models: `mlflow+http://host:5000`, `mlflow+https://host/path`, or `mlflow:` for that of the environment. */

const OF_ENVIRONMENT = 'mlflow:'
const SCHEME = 'mlflow+'

export function isMlflowUri(text: string): boolean {
  return text === OF_ENVIRONMENT || text.startsWith(SCHEME)
}

/** Why a text is not the place of an MLflow registry, or undefined when it is. */
export function mlflowUriProblem(text: string): string | undefined {
  if (text === OF_ENVIRONMENT) return undefined
  const url = text.slice(SCHEME.length)
  if (!/^https?:\/\//.test(url) || !URL.canParse(url)) return `it has no http or https URL after ${SCHEME}`
  const { username, password, search, hash } = new URL(url)
  // It is printed and logged.
  if (username !== '' || password !== '')
    return 'it carries a user or a password; give them as MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD'
  return search === '' && hash === '' ? undefined : 'it has a query or a fragment'
}

/** URL of the server without a slash at its end; undefined = the environment says. */
export function mlflowServerOf(text: string): string | undefined {
  return text === OF_ENVIRONMENT ? undefined : new URL(text.slice(SCHEME.length)).href.replace(/\/+$/, '')
}

/** Whether a text means to name something in a registry. */
export function isMlflowText(text: string): boolean {
  return text.startsWith(OF_ENVIRONMENT) || text.startsWith(SCHEME)
}

/** A model in a registry, as `mlflow+http://host:5000/NAME` or `mlflow:NAME` says it. */
export interface MlflowModelPlace {
  /** As of `mlflowServerOf`. */
  readonly server: string | undefined
  readonly name: string
}

/** @returns why a text does not name a model in a registry, as text, or the place */
export function parseMlflowModel(text: string): MlflowModelPlace | string {
  const slash = text.lastIndexOf('/')
  const isOfEnvironment = text.startsWith(OF_ENVIRONMENT)
  const registry = isOfEnvironment ? OF_ENVIRONMENT : text.slice(0, Math.max(slash, 0))
  const problem = mlflowUriProblem(registry)
  if (problem !== undefined) return problem
  const name = decoded(isOfEnvironment ? text.slice(OF_ENVIRONMENT.length) : text.slice(slash + 1))
  if (name === undefined || name === '' || /[/:]/.test(name)) return 'it does not end with the name of a model'
  return { server: mlflowServerOf(registry), name }
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}
