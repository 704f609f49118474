/**
 * Name resolution that outlives its server for a while: addresses that were found are used again when asking fails. It runs where Node
 * runs it, off the event loop.
 */
import type { LookupAddress, LookupOptions } from 'node:dns'
import { lookup } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { LRUCache } from 'lru-cache'
import type { Clock } from '../lib/clock.ts'

/** All addresses of a host, as `dns.lookup` finds them. */
export type FindAddresses = (
  host: string,
  options: LookupOptions & { readonly all: true },
  done: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void

interface Kept {
  readonly addresses: LookupAddress[]
  readonly at: number
}

const KEPT_MS = 60_000
const MAX_HOSTS = 100

/** A `lookup` for sockets. */
export function keepAddresses(clock: Clock, find: FindAddresses = lookup): LookupFunction {
  const kept = new LRUCache<string, Kept>({ max: MAX_HOSTS })
  return (host, options, callback) => {
    const key = `${host} ${options.family ?? 0}`
    find(host, { ...options, all: true }, (error, found) => {
      const known = kept.get(key)
      if (error === null) kept.set(key, { addresses: found, at: clock.now() })
      const isRecent = known !== undefined && clock.now() - known.at < KEPT_MS
      const addresses = error === null ? found : isRecent ? known.addresses : []
      const [first] = addresses
      if (first === undefined) callback(error ?? notFound(host), '', 0)
      else if (options.all === true) callback(null, addresses)
      else callback(null, first.address, first.family)
    })
  }
}

function notFound(host: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${host} has no address`), { code: 'ENOTFOUND' })
}
