/**
 * Is a request from this machine, sent by its user and nobody else? What has no authentication answers only such: the connection
 * comes from loopback, the host that the client meant is loopback too (a page that rebinds its own name to 127.0.0.1 means its own
 * name), no browser says on behalf of which page it asks, and no proxy passed it on from elsewhere. A proxy on this machine that adds
 * nothing and lets its clients choose the host cannot be told: whoever runs one turns these answers off.
 */
import type { IncomingMessage } from 'node:http'

const LOOPBACK_ADDRESS = /^(::1|(::ffff:)?127(\.\d{1,3}){3})$/
const LOOPBACK_HOST = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/i
/** Of a browser, or of a proxy. */
const FOREIGN: ReadonlySet<string> = new Set([
  'origin',
  'forwarded',
  'via',
  'x-real-ip',
  'x-client-ip',
  'true-client-ip',
  'cdn-loop',
])
const FOREIGN_FAMILIES = ['x-forwarded-', 'x-envoy-', 'cf-']
/** Browsers say it of every request; `none`: its user asked, no page did. */
const BY_PAGE = 'sec-fetch-site'

type Asked = Pick<IncomingMessage, 'socket' | 'rawHeaders' | 'httpVersion'>

export function isLocalPeer({ socket, rawHeaders, httpVersion }: Asked): boolean {
  if (!LOOPBACK_ADDRESS.test(socket.remoteAddress ?? '')) return false
  // nginx, left as it comes, adds no header and names the server behind it as the host; but it speaks HTTP/1.0 to that, as nobody else does.
  if (httpVersion !== '1.1') return false
  const hosts: string[] = []
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]?.toLowerCase() ?? ''
    if (FOREIGN.has(name) || FOREIGN_FAMILIES.some((family) => name.startsWith(family))) return false
    if (name === BY_PAGE && rawHeaders[i + 1] !== 'none') return false
    if (name === 'host') hosts.push(rawHeaders[i + 1] ?? '')
  }
  return hosts.length === 1 && LOOPBACK_HOST.test(hosts[0] ?? '')
}
