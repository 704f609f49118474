/**
 * Tags by which MLflow's registry keeps what it has no field for. Whoever publishes sets them; anybody with write access may.
 *
 *   of a version   modelmux.sha256.<path>   SHA-256 of one of its files in hex; the path is relative to the model's artifact folder
 *   of a model     modelmux.settings        what modelmux.yaml says elsewhere, as YAML or JSON
 *
 * Digests are best given in the call that makes the version: other digests make it another ModelKey, so that what was fetched before is
 * fetched again.
 */
export const SETTINGS_TAG = 'modelmux.settings'

const DIGEST_PREFIX = 'modelmux.sha256.'
const SHA256 = /^[0-9a-f]{64}$/
/** A version has a few files; a registry that says more of it is not believed. */
const MAX_DIGESTS = 1000

export function digestTag(path: string): string {
  return `${DIGEST_PREFIX}${path}`
}

/** SHA-256 by path, in order of paths; what is no digest is passed over. */
export function digestsIn(tags: ReadonlyMap<string, string>): Array<readonly [path: string, sha256: string]> {
  const digests: Array<readonly [string, string]> = []
  for (const [key, value] of tags) {
    if (!key.startsWith(DIGEST_PREFIX) || digests.length >= MAX_DIGESTS) continue
    const sha256 = value.trim().toLowerCase()
    if (SHA256.test(sha256)) digests.push([key.slice(DIGEST_PREFIX.length), sha256])
  }
  return digests.sort(([a], [b]) => (a < b ? -1 : 1))
}
