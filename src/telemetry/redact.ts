/** Keeps secrets out of what is written down: by the name they come under, and in the places of a URL where they travel. */

const SECRET_NAME = /passw|secret|token|authorization|credential|api-?key/i
/** User and password before a host; a query, which is where presigned URLs carry their signature. */
const USER_INFO = /(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/@?#]+@/gi
const QUERY = /(\b[a-z][a-z0-9+.-]*:\/\/[^\s?#]+)\?[^\s#]*/gi

/** The value as it may be written under this name. */
export function redact(name: string, value: unknown): unknown {
  if (value === undefined || value === null) return value
  if (SECRET_NAME.test(name)) return '[hidden]'
  return typeof value === 'string' ? redactUrls(value) : value
}

export function redactUrls(text: string): string {
  if (!text.includes('://')) return text
  return text.replace(USER_INFO, '$1').replace(QUERY, '$1?[hidden]')
}
