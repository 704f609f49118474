import assert from 'node:assert/strict'
import type { LookupFunction } from 'node:net'
import { Socket } from 'node:net'
import { describe, it } from 'node:test'
import type { buildConnector } from 'undici'
import type { AddressClass } from '../../../src/clients/address-guard.ts'
import { AddressRefusedError, addressClass, guardedConnector } from '../../../src/clients/address-guard.ts'

const CASES: Readonly<Record<AddressClass, readonly string[]>> = {
  never: [
    '169.254.169.254',
    '169.254.0.1',
    '0.0.0.0',
    '0.1.2.3',
    '224.0.0.1',
    '255.255.255.255',
    '100.100.100.200',
    '168.63.129.16',
    '::',
    'fe80::1',
    'fe80::1%eth0',
    'febf::1',
    'ff02::1',
    'fd00:ec2::254',
    'fd20:ce::254',
    '::ffff:169.254.169.254',
    '::ffff:a9fe:a9fe',
    '64:ff9b::a9fe:a9fe',
    '2002:a9fe:a9fe::',
    'localhost',
    '',
  ],
  private: [
    '127.0.0.1',
    '127.255.0.1',
    '10.0.0.1',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '100.64.0.1',
    '198.18.0.1',
    '240.0.0.1',
    '::1',
    'fc00::1',
    'fd12:3456::1',
    '::ffff:127.0.0.1',
    '::ffff:10.0.0.1',
    '64:ff9b::a00:1',
  ],
  public: ['1.1.1.1', '172.32.0.1', '100.128.0.1', '11.0.0.1', '2606:4700::1111', '::ffff:8.8.8.8'],
}

describe('the class of an address', () => {
  for (const [expected, addresses] of Object.entries(CASES))
    it(`is ${expected} for what is so, in every spelling`, () => {
      for (const address of addresses) assert.equal(addressClass(address), expected, address)
    })
})

/** Resolves every name to these, as `dns.lookup` does. */
function resolvesTo(...addresses: string[]): LookupFunction {
  return (_host, options, callback) => {
    const found = addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
    if (options.all === true) callback(null, found)
    else callback(null, found[0]?.address ?? '', found[0]?.family ?? 4)
  }
}

class ConnectedSocket extends Socket {
  override readonly remoteAddress: string

  constructor(remoteAddress: string) {
    super()
    this.remoteAddress = remoteAddress
  }
}

interface Scene {
  readonly lookup: LookupFunction
  /** What the connection has in the end, when that is not the first address found. */
  readonly peer?: string
  readonly named?: readonly string[]
}

/** Connects to a host, without a network. @returns the addresses that were tried, and the refusal */
async function connect(host: string, { lookup, peer, named = [] }: Scene) {
  const tried: string[] = []
  const sockets: ConnectedSocket[] = []
  const make = (built: buildConnector.BuildOptions): buildConnector.connector => {
    return (options, callback) => {
      const look = 'lookup' in built ? built.lookup : undefined
      look?.(options.hostname, { all: true }, (error, found) => {
        if (error !== null) return callback(error, null)
        if (typeof found !== 'string') tried.push(...found.map(({ address }) => address))
        const socket = new ConnectedSocket(peer ?? tried[0] ?? options.hostname)
        sockets.push(socket)
        callback(null, socket)
      })
    }
  }
  const mayBePrivate = (name: string): boolean => named.includes(name)
  const connector = guardedConnector({ lookup, mayBePrivate, connect: {} }, make)
  const error = await new Promise<Error | null>((resolve) => {
    connector({ hostname: host, protocol: 'http:', port: '80' }, (...[failure]) => resolve(failure))
  })
  return { tried, error, isOpen: sockets.some(({ destroyed }) => !destroyed) }
}

describe('a guarded connector', () => {
  it('reaches public addresses of any host', async () => {
    const { tried, error } = await connect('a.example', { lookup: resolvesTo('1.1.1.1') })
    assert.deepEqual([tried, error], [['1.1.1.1'], null])
  })

  it('leaves out the addresses that a name must not have, and refuses a name that has no others', async () => {
    const mixed = resolvesTo('169.254.169.254', '10.0.0.1', '1.1.1.1')
    assert.deepEqual((await connect('a.example', { lookup: mixed })).tried, ['1.1.1.1'])
    const { tried, error } = await connect('a.example', { lookup: resolvesTo('10.0.0.1', '::1') })
    assert.deepEqual(tried, [])
    assert.ok(error instanceof AddressRefusedError)
    assert.equal(error.message, 'a.example has the address 10.0.0.1, which is not allowed')
  })

  it('reaches private addresses of hosts that were named, and metadata services of none', async () => {
    const named = ['minio', '127.0.0.1', '169.254.169.254']
    assert.equal((await connect('minio', { lookup: resolvesTo('10.0.0.1'), named })).error, null)
    assert.equal((await connect('127.0.0.1', { lookup: resolvesTo('127.0.0.1'), named })).error, null)
    assert.ok((await connect('minio', { lookup: resolvesTo('169.254.169.254'), named })).error !== null)
    assert.ok((await connect('169.254.169.254', { lookup: resolvesTo('1.1.1.1'), named })).error !== null)
  })

  it('refuses addresses that stand in the URL themselves, where nothing is looked up', async () => {
    for (const host of ['127.0.0.1', '10.0.0.1', '[::1]', '[fe80::1]'])
      assert.ok((await connect(host, { lookup: resolvesTo('1.1.1.1') })).error instanceof AddressRefusedError, host)
  })

  it('looks at the address that the connection has, and closes it when that is another', async () => {
    for (const peer of ['10.0.0.1', '::ffff:169.254.169.254', '']) {
      const { error, isOpen } = await connect('a.example', { lookup: resolvesTo('1.1.1.1'), peer })
      assert.ok(error instanceof AddressRefusedError, peer)
      assert.equal(isOpen, false)
    }
  })

  it('passes on that a name was not found', async () => {
    const failing: LookupFunction = (_host, _options, callback) => callback(new Error('ENOTFOUND'), '', 0)
    assert.equal((await connect('a.example', { lookup: failing })).error?.message, 'ENOTFOUND')
  })
})
