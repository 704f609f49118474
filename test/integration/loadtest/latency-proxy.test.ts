import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, get, type IncomingMessage } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { after, before, describe, it } from 'node:test'
import { LatencyProxy } from '../../../loadtest/bench/latency-proxy.ts'

/** More than may be on its way at a time. */
const BODY = randomBytes(20 * 2 ** 20 + 17)

for (const delayMs of [0, 10])
  describe(`a proxy with ${delayMs} ms of delay`, () => {
    const server = createServer((request, response) => {
      if (request.url === '/broken') request.socket.resetAndDestroy()
      else response.end(BODY)
    })
    let proxy: LatencyProxy
    before(async () => {
      await once(server.listen(0, '127.0.0.1'), 'listening')
      proxy = await LatencyProxy.start((server.address() as AddressInfo).port, delayMs)
    })
    after(async () => {
      await proxy.stop()
      server.closeAllConnections()
      server.close()
    })

    it('brings every byte in order, of several answers at once, and tells which were asked for', async () => {
      const bodies = await Promise.all(['/a', '/b', '/c'].map(async (path) => await buffer(await ask(path))))
      for (const body of bodies) assert.ok(body.equals(BODY), 'other bytes came')
      assert.equal((await buffer(await ask('/d', 'bytes=0-99'))).length, BODY.length)
      const calls = await proxy.calls()
      assert.deepEqual(calls.map(({ path }) => path).toSorted(), ['/a', '/b', '/c', '/d'])
      assert.deepEqual(
        calls.find(({ path }) => path === '/d'),
        { method: 'GET', path: '/d', range: 'bytes=0-99' },
      )
    })

    it('passes on that one side ended, and that it broke', async () => {
      await assert.rejects(ask('/broken'))
      const { hostname, port } = new URL(proxy.url)
      const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true })
      socket.end('GET /half HTTP/1.1\r\nHost: x\r\n\r\n')
      const answer = await buffer(socket)
      assert.ok(answer.subarray(-BODY.length).equals(BODY))
    })

    async function ask(path: string, range?: string): Promise<IncomingMessage> {
      const headers = range === undefined ? {} : { range }
      const [answer] = (await once(get(`${proxy.url}${path}`, { agent: false, headers }), 'response')) as [
        IncomingMessage,
      ]
      return answer
    }
  })
