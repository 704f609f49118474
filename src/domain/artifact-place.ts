/**
 * Where the files of a version in a registry may lie. A registry's `artifact_uri` is text that anybody with write access to it may have
 * set (CVE-2023-1177 and its family): what is not allowed here by scheme, host, bucket and prefix is never asked for.
 */
import { parseS3Folder, type S3Folder, s3FolderProblem } from './s3-uri.ts'

export type ArtifactPlace =
  | ({ readonly kind: 's3' } & S3Folder)
  /** Below the root of the MLflow server's own artifact proxy; no slash at either end. */
  | { readonly kind: 'proxy'; readonly path: string }
  /** A folder of this machine, absolute. Links are not followed out of it by this alone. */
  | { readonly kind: 'file'; readonly dir: string }

export interface ArtifactRules {
  /** URL of the MLflow server: what its proxy holds is allowed. */
  readonly server: string
  /** What is allowed beside: `s3://bucket/prefix`, `file:///folder`, and `https://host:port` for signed addresses. */
  readonly allowed: readonly string[]
}

/** Why a URI is not used. The message has no more of the URI than its scheme, host or bucket. */
export class PlaceRefusedError extends Error {
  override readonly name = 'PlaceRefusedError'
}

const PROXY_SCHEME = 'mlflow-artifacts:/'
const MAX_URI_BYTES = 2048
const MAX_SEGMENT_BYTES = 255
const PROXY_API = '/api/2.0/mlflow-artifacts/artifacts/'

/** Why a text is no rule of `ArtifactRules.allowed`; undefined: it is one. */
export function artifactRuleProblem(rule: string): string | undefined {
  if (rule.startsWith('s3://')) return s3FolderProblem(rule)
  if (!URL.canParse(rule)) return 'it is not a URL'
  const { protocol, username, password, host, pathname, search, hash } = new URL(rule)
  if (username !== '' || password !== '' || search !== '' || hash !== '')
    return 'it has more than a scheme, a host and a path'
  if (protocol === 'file:')
    return host === '' && pathname !== '/' ? undefined : 'it does not name a folder of this machine'
  if (protocol !== 'http:' && protocol !== 'https:') return 'its scheme is none of s3, https, http and file'
  if (pathname !== '/') return 'it has a path'
  // A name of one part would allow a whole top-level domain.
  return /^\*\.[^*]+\.[^*]+$|^[^*]+$/.test(host) ? undefined : 'its host is no name, nor *. and a name'
}

/** @throws PlaceRefusedError with the reason */
export function artifactPlaceOf(uri: string, rules: ArtifactRules): ArtifactPlace {
  if (Buffer.byteLength(uri) > MAX_URI_BYTES)
    throw new PlaceRefusedError(`its artifact URI is longer than ${MAX_URI_BYTES} bytes`)
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(uri)?.[1]?.toLowerCase()
  switch (scheme) {
    case 's3':
      return s3Place(uri, rules)
    case 'mlflow-artifacts':
      return proxyPlace(uri, rules)
    case 'http':
    case 'https':
      return { kind: 'proxy', path: belowProxy(uri, rules) }
    case 'file':
      return filePlace(uri, rules)
    case undefined:
      throw new PlaceRefusedError('its artifact URI has no scheme')
    default:
      throw new PlaceRefusedError(`artifacts at ${scheme}: are not supported`)
  }
}

/** Whether a signed address that the server gave may be asked. */
export function isAllowedUrl(url: URL, { server, allowed }: ArtifactRules): boolean {
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return false
  if (url.username !== '' || url.password !== '') return false
  if (url.origin === new URL(server).origin) return true
  return allowed.some((rule) => {
    if (!/^https?:/.test(rule)) return false
    const { protocol, hostname, port } = new URL(rule)
    if (protocol !== url.protocol || port !== url.port) return false
    return hostname.startsWith('*.') ? url.hostname.endsWith(hostname.slice(1)) : url.hostname === hostname
  })
}

/** Whether the operator named this very host, so that it may have an address of this machine or its networks. */
export function isNamedHost(hostname: string, { server, allowed }: ArtifactRules): boolean {
  return [server, ...allowed].some((rule) => /^https?:/.test(rule) && bareHost(new URL(rule).hostname) === hostname)
}

function s3Place(uri: string, { allowed }: ArtifactRules): ArtifactPlace {
  const problem = s3FolderProblem(uri) ?? unsafeText(uri)
  if (problem !== undefined) throw new PlaceRefusedError(`its artifact URI is no folder in S3: ${problem}`)
  const place = parseS3Folder(uri)
  const isAllowed = allowed.some((rule) => {
    if (!rule.startsWith('s3://')) return false
    const { bucket, prefix } = parseS3Folder(rule)
    return bucket === place.bucket && place.prefix.startsWith(prefix)
  })
  if (!isAllowed) throw new PlaceRefusedError(`artifacts in the bucket '${place.bucket}' are not allowed there`)
  return { kind: 's3', ...place }
}

/** `mlflow-artifacts:/path`, or `mlflow-artifacts://host:port/path` where that is this server. */
function proxyPlace(uri: string, { server }: ArtifactRules): ArtifactPlace {
  const [, authority = '', path = ''] = /^mlflow-artifacts:(?:\/\/([^/]*))?\/*(.*)$/is.exec(uri) ?? []
  if (authority !== '' && authority.toLowerCase() !== new URL(server).host)
    throw new PlaceRefusedError('its artifacts lie on another MLflow server')
  return { kind: 'proxy', path: checkedPath(path) }
}

function belowProxy(uri: string, { server }: ArtifactRules): string {
  const base = `${server.replace(/\/+$/, '')}${PROXY_API}`
  if (!uri.startsWith(base)) throw new PlaceRefusedError('its artifact URI is not below the MLflow server')
  return checkedPath(uri.slice(base.length))
}

function filePlace(uri: string, { allowed }: ArtifactRules): ArtifactPlace {
  const dir = folderOf(uri)
  const isAllowed = allowed.some((rule) => {
    if (!rule.startsWith('file:')) return false
    const root = folderOf(rule)
    return dir === root || dir.startsWith(`${root}/`)
  })
  if (!isAllowed) throw new PlaceRefusedError('artifacts in folders of this machine are not allowed there')
  return { kind: 'file', dir }
}

/** `file:///a/b`, as text: a URL parser would resolve `..` before it could be seen. */
function folderOf(uri: string): string {
  const [, path] = /^file:(?:\/\/(?:localhost)?)?\/(?!\/)(.*)$/is.exec(uri) ?? []
  if (path === undefined) throw new PlaceRefusedError('its artifact URI is no folder of this machine')
  return `/${checkedPath(path)}`
}

/** A path as it stands, without slashes at its ends. Percent signs are refused: who decodes them, and how often, differs. */
function checkedPath(path: string): string {
  const bare = path.replace(/\/+$/, '')
  for (const segment of bare.split('/')) {
    const wrong = segmentProblem(segment)
    if (wrong !== undefined) throw new PlaceRefusedError(`its artifact path is refused: ${wrong}`)
  }
  return bare
}

/** Why a text is no name of a file or folder within a path; undefined: it is one. */
export function segmentProblem(segment: string): string | undefined {
  if (segment === '' || segment === '.' || segment === '..') return `it is empty, '.' or '..'`
  if (segment.includes('/')) return 'it has a slash'
  if (Buffer.byteLength(segment) > MAX_SEGMENT_BYTES) return `it is longer than ${MAX_SEGMENT_BYTES} bytes`
  return unsafeText(segment)
}

/** A file behind the artifact proxy, as `RemoteFile.location`. */
export function proxyLocation(path: string): string {
  return `${PROXY_SCHEME}${path}`
}

/** The path in what `proxyLocation` made; undefined for other locations. */
export function proxyPathOf(location: string): string | undefined {
  return location.startsWith(PROXY_SCHEME) ? location.slice(PROXY_SCHEME.length) : undefined
}

function unsafeText(text: string): string | undefined {
  if (/\p{Cc}/u.test(text)) return 'it has a control character'
  const found = /[\\%?#]/.exec(text)?.[0]
  return found === undefined ? undefined : `it has a '${found}'`
}

/** IPv6 in a URL has brackets that it has nowhere else. */
function bareHost(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, '')
}
