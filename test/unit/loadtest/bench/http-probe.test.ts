import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, it } from 'node:test'
import { HttpProbe, parseServerTiming } from '../../../../loadtest/bench/http-probe.ts'

describe('Server-Timing', () => {
  it('gives durations by phase, in any order of parameters, and skips what has none', () => {
    assert.deepEqual(parseServerTiming('resolve;dur=0.04, open;desc="cold";dur=5.5,run;dur=1e1, miss'), {
      resolve: 0.04,
      open: 5.5,
      run: 10,
    })
    assert.deepEqual(parseServerTiming(''), {})
  })
})

describe('waiting for the first scan', () => {
  it('goes on while names that nobody asked for before may still come', async (t) => {
    const asked = new Set<string>()
    // As a scanner does that looks for whom it is asked first: a name is known to be absent when it is asked for again.
    const server = createServer(({ url = '' }, response) => {
      const isAbsent = asked.has(url) || asked.size === 3
      asked.add(url)
      response.writeHead(isAbsent ? 404 : 503, { 'content-length': 0 }).end()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const probe = new HttpProbe({ host: '127.0.0.1', port: (server.address() as AddressInfo).port })
    t.after(() => {
      probe.close()
      server.close()
    })
    await probe.awaitScan(30_000, t.signal)
    assert.equal(asked.size, 4)
  })
})
