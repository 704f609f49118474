/**
 * Is a request from this machine, sent by its user and nobody else? What has no authentication answers only such: the connection
 * comes from loopback, the host that the client meant is loopback too (a page that rebinds its own name to 127.0.0.1 means its own
 * name), no browser says on behalf of which page it asks, and no proxy passed it on from elsewhere.
 */
import type { IncomingMessage } from 'node:http'

const LOOPBACK_ADDRESS = /^(::1|(::ffff:)?127(\.\d{1,3}){3})$/
const LOOPBACK_HOST = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/i
/** Of a browser, or of a proxy. */
const FOREIGN: ReadonlySet<string> = new Set([
  'origin',
  'forwarded',
  'via',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-real-ip',
])

export function isLocalPeer({ socket, rawHeaders }: Pick<IncomingMessage, 'socket' | 'rawHeaders'>): boolean {
  if (!LOOPBACK_ADDRESS.test(socket.remoteAddress ?? '')) return false
  const hosts: string[] = []
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]?.toLowerCase() ?? ''
    if (FOREIGN.has(name)) return false
    if (name === 'host') hosts.push(rawHeaders[i + 1] ?? '')
  }
  return hosts.length === 1 && LOOPBACK_HOST.test(hosts[0] ?? '')
}
