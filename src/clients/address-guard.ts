/**
 * Which addresses a connection may have. Hosts that remote text names may resolve to anything, now or at the next look (DNS rebinding):
 * the addresses that a name has are sifted before a connection is made, and the one that was made is looked at again.
 */
import type { LookupAddress } from 'node:dns'
import type { LookupFunction, Socket } from 'node:net'
import { BlockList, isIP, isIPv6 } from 'node:net'
import { buildConnector } from 'undici'

export type AddressClass =
  /** Link-local, the metadata services of clouds, no address of one machine: nobody means these. */
  | 'never'
  /** Of this machine or its networks: only for hosts that the operator named. */
  | 'private'
  | 'public'

const NEVER = blockList([
  '0.0.0.0/8',
  '169.254.0.0/16',
  '224.0.0.0/4',
  '255.255.255.255/32',
  '::/128',
  'fe80::/10',
  'ff00::/8',
  // Metadata and agents of Alibaba, Azure and Oracle, of AWS and Google over IPv6.
  '100.100.100.200/32',
  '168.63.129.16/32',
  '192.0.0.192/32',
  'fd00:ec2::/32',
  'fd20:ce::254/128',
  // 169.254.0.0/16 in the clothes of NAT64 and 6to4.
  '64:ff9b::a9fe:0/112',
  '2002:a9fe::/32',
])
const PRIVATE = blockList([
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '240.0.0.0/4',
  '::1/128',
  '64:ff9b::/96',
  '64:ff9b:1::/48',
  '2002::/16',
  'fc00::/7',
  'fec0::/10',
])

/** @param address IPv4 or IPv6, also IPv4 in IPv6; anything else is `never` */
export function addressClass(address: string): AddressClass {
  // A zone (`fe80::1%eth0`) is no part of the address.
  const bare = address.replace(/%.*$/, '')
  const family = isIP(bare)
  if (family === 0) return 'never'
  const kind = family === 6 ? 'ipv6' : 'ipv4'
  if (NEVER.check(bare, kind)) return 'never'
  return PRIVATE.check(bare, kind) ? 'private' : 'public'
}

/** The address was found, and a connection there is refused. */
export class AddressRefusedError extends Error {
  override readonly name = 'AddressRefusedError'

  constructor(host: string, address: string) {
    super(`${host} has the address ${address}, which is not allowed`)
  }
}

export interface GuardOptions {
  readonly lookup: LookupFunction
  /** May this host have an address of this machine or its networks? The name as in the URL, without brackets. */
  readonly mayBePrivate: (host: string) => boolean
  /** What undici's connector takes beside: time-outs, TLS. */
  readonly connect: Omit<buildConnector.BuildOptions, 'lookup' | 'host' | 'port' | 'path'>
}

/** A connector for undici's pools that reaches allowed addresses only. `make` gives the one that connects. */
export function guardedConnector(
  { lookup, mayBePrivate, connect }: GuardOptions,
  make: (options: buildConnector.BuildOptions) => buildConnector.connector = buildConnector,
): buildConnector.connector {
  const isAllowed = (host: string, address: string): boolean => {
    const found = addressClass(address)
    return found === 'public' || (found === 'private' && mayBePrivate(host))
  }
  const reach = make({ ...connect, lookup: siftedLookup(lookup, isAllowed) })
  return (options, callback) => {
    const host = options.hostname.replace(/^\[|\]$/g, '')
    // No name, no lookup.
    if (isIP(host) !== 0 && !isAllowed(host, host)) return callback(new AddressRefusedError(host, host), null)
    reach(options, (...[error, socket]) => {
      if (error !== null) return callback(error, null)
      const address = socket.remoteAddress ?? ''
      if (isAllowed(host, address)) return callback(null, socket)
      discard(socket)
      callback(new AddressRefusedError(host, address), null)
    })
  }
}

function siftedLookup(lookup: LookupFunction, isAllowed: (host: string, address: string) => boolean): LookupFunction {
  return (host, options, callback) => {
    lookup(host, { ...options, all: true }, (error, found) => {
      if (error !== null) return callback(error, '', 0)
      const addresses = typeof found === 'string' ? [asAddress(found)] : found
      const allowed = addresses.filter(({ address }) => isAllowed(host, address))
      const [first] = allowed
      if (first === undefined) callback(new AddressRefusedError(host, addresses[0]?.address ?? 'none'), '', 0)
      else if (options.all === true) callback(null, allowed)
      else callback(null, first.address, first.family)
    })
  }
}

function asAddress(address: string): LookupAddress {
  return { address, family: isIPv6(address) ? 6 : 4 }
}

function discard(socket: Socket): void {
  socket.on('error', () => undefined)
  socket.destroy()
}

function blockList(ranges: readonly string[]): BlockList {
  const list = new BlockList()
  for (const range of ranges) {
    const [net = '', bits] = range.split('/')
    list.addSubnet(net, Number(bits), isIPv6(net) ? 'ipv6' : 'ipv4')
  }
  return list
}
