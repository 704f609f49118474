/** What networks and stores do between a server and the bucket in which its fleet shares compiled models: it compiles, and answers right. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { Customers } from '../support/customers.ts'
import { type Fault, FaultProxy } from '../support/fault-proxy.ts'
import { noS3Server, S3Server } from '../support/s3-server.ts'
import { ServerProcess } from '../support/server-process.ts'

const BUCKET = 'fleet'

describe('a compile cache behind a bad network', { skip: noS3Server }, () => {
  let s3: S3Server
  let proxy: FaultProxy
  let customers: Customers

  before(async () => {
    s3 = await S3Server.start({ buckets: [BUCKET] })
    proxy = await FaultProxy.start(s3.endpoint)
    customers = await Customers.make(1)
    const first = await machine()
    assert.equal(await customers.askRight(first, 1), 'compile')
    await first.logs('fleet.sent')
    await first.stop()
  })
  after(async () => {
    await proxy.close()
    await s3.stop()
    await customers.remove()
  })

  /** That was never here before. */
  async function machine(fleetCache: object = {}): Promise<ServerProcess> {
    const server = await ServerProcess.start({
      models: customers.folder.dir,
      config: {
        store: { settleMs: 0, s3: { endpoint: proxy.url, pathStyle: true } },
        artifact: {
          probe: false,
          fleetCache: { place: `s3://${BUCKET}/x`, lookupMs: 60_000, deadlineMs: 60_000, ...fleetCache },
        },
      },
      args: ['--workers', '1'],
      env: s3.env,
    })
    await server.logs('registry.scanned')
    return server
  }

  const file = /\/artifacts\/[0-9a-f]{32}\/[0-9a-f]{64}/
  const faults: readonly (readonly [string, Fault, string, object?])[] = [
    ['stops in the middle of a file', { kind: 'stall', at: 1000 }, 'late', { deadlineMs: 300, deadlineMsPerMiB: 0 }],
    ['is reset in the middle of a file', { kind: 'reset', at: 1000 }, 'unavailable'],
    ['ends a file early and in good order', { kind: 'short', at: 1000 }, 'unavailable'],
    ['changes a bit of a file', { kind: 'flip', at: 1000 }, 'wrong'],
    [
      'is told to slow down',
      { kind: 'answer', status: 503, body: '<Error><Code>SlowDown</Code></Error>' },
      'unavailable',
    ],
    ['may not read', { kind: 'answer', status: 403, body: '<Error><Code>AccessDenied</Code></Error>' }, 'unavailable'],
  ]
  for (const [what, fault, outcome, limits] of faults)
    it(`compiles where it ${what}`, async () => {
      proxy.order({ fault, when: ({ method, url = '' }) => method === 'GET' && file.test(url) })
      const server = await machine({ mode: 'read', ...limits })
      try {
        assert.equal(await customers.askRight(server, 1), 'compile')
        const lookups = (await server.metrics()).get(`modelmux_fleet_cache_lookups_total{outcome="${outcome}"}`)
        assert.equal(lookups, 1, JSON.stringify(server.logged('fleet.fetch-failed')))
      } finally {
        proxy.heal()
        await server.stop()
      }
    })

  it('takes over what it would have compiled, once the network is well', async () => {
    const server = await machine()
    try {
      assert.equal(await customers.askRight(server, 1), 'load')
    } finally {
      await server.stop()
    }
  })
})
