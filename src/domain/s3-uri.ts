/** Places in S3 as text: `s3://bucket/key`. Keys stand in it as they are, without percent-encoding. */

/** A bucket, or what lies under a prefix of it. */
export interface S3Folder {
  readonly bucket: string
  /** '' for the whole bucket; otherwise ends with a slash. */
  readonly prefix: string
}

const SCHEME = 's3://'
/** Wider than AWS's own rule: other servers and old buckets have capitals and underscores. */
const BUCKET = /^[A-Za-z0-9][A-Za-z0-9._-]{2,62}$/
const KEY_MAX_BYTES = 1024

export function isS3Uri(text: string): boolean {
  return text.startsWith(SCHEME)
}

/** Why a text is not the place of a folder in S3, or undefined when it is. */
export function s3FolderProblem(text: string): string | undefined {
  if (!isS3Uri(text)) return `it does not begin with ${SCHEME}`
  const { bucket, key } = split(text)
  if (!BUCKET.test(bucket)) return 'its bucket is not the name of one'
  if (Buffer.byteLength(key) > KEY_MAX_BYTES) return `its prefix is longer than ${KEY_MAX_BYTES} bytes`
  const segments = key === '' ? [] : key.replace(/\/$/, '').split('/')
  if (segments.some((segment) => segment === '' || segment === '.' || segment === '..'))
    return `its prefix has a segment that is empty, '.' or '..'`
  return undefined
}

/** @throws TypeError for a text that `s3FolderProblem` has something against */
export function parseS3Folder(text: string): S3Folder {
  const problem = s3FolderProblem(text)
  if (problem !== undefined) throw new TypeError(`${JSON.stringify(text)} is no folder in S3: ${problem}`)
  const { bucket, key } = split(text)
  return { bucket, prefix: key === '' || key.endsWith('/') ? key : `${key}/` }
}

export function s3Location(bucket: string, key: string): string {
  return `${SCHEME}${bucket}/${key}`
}

/** @throws TypeError for a text that `s3Location` did not make */
export function parseS3Location(location: string): { readonly bucket: string; readonly key: string } {
  if (!isS3Uri(location)) throw new TypeError(`${JSON.stringify(location)} is no place in S3`)
  return split(location)
}

function split(text: string): { bucket: string; key: string } {
  const rest = text.slice(SCHEME.length)
  const slash = rest.indexOf('/')
  return slash === -1 ? { bucket: rest, key: '' } : { bucket: rest.slice(0, slash), key: rest.slice(slash + 1) }
}
