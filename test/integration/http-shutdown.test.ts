import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ListenError } from '../../src/http/server.ts'
import { readToEnd, startHttp } from '../support/http-harness.ts'
import { ManualClock } from '../support/manual-clock.ts'

const INFER = '/v2/models/acme/churn/infer'
const ADDRESS = { host: '127.0.0.1', port: 0 }

describe('the end of an HTTP server', () => {
  it('drains at once when idle, connections kept alive and connections that never spoke included', async () => {
    const http = await startHttp()
    await http.get('/livez')
    const silent = readToEnd(await http.connect())
    assert.equal(await http.server.drain(60_000), true)
    assert.equal(await silent, '')
    await assert.rejects(http.get('/livez'), { code: 'ECONNREFUSED' })
  })

  it('drains busy: answers what is under way, closes its connection, then ends', async () => {
    const http = await startHttp()
    http.gateway.holds = true
    const answer = http.post(INFER)
    await http.gateway.arrived(1)
    const drained = http.server.drain(60_000)
    assert.equal(http.server.isDraining, true)
    assert.equal(http.server.inFlight, 1)
    http.gateway.held[0]?.answer()
    assert.equal((await answer).status, 200)
    assert.equal((await answer).headers.connection, 'close')
    assert.equal(await drained, true)
    assert.equal(http.server.inFlight, 0)
  })

  it('is not ready while draining, on connections that are still there', async () => {
    const http = await startHttp()
    http.gateway.holds = true
    const answer = http.post(INFER)
    await http.gateway.arrived(1)
    const socket = await http.connect()
    const all = readToEnd(socket)
    socket.write('GET /readyz HTTP/1.1\r\n')
    // The server has begun to read this request before it drains.
    assert.equal((await http.get('/livez')).status, 200)
    const drained = http.server.drain(60_000)
    socket.write('Host: x\r\n\r\n')
    assert.match(await all, /^HTTP\/1\.1 503 [\s\S]*connection: close[\s\S]*DRAINING/i)
    http.gateway.held[0]?.answer()
    await answer
    assert.equal(await drained, true)
  })

  it('cuts off what is not done when the time to drain is over, and says so', async () => {
    const clock = new ManualClock()
    const http = await startHttp({}, { clock })
    http.gateway.holds = true
    const answer = http.post(INFER)
    const failed = assert.rejects(answer, { code: 'ECONNRESET' })
    await http.gateway.arrived(1)
    const drained = http.server.drain(5000)
    clock.tick(4999)
    assert.equal(http.server.inFlight, 1)
    clock.tick(1)
    assert.equal(await drained, false)
    await failed
    assert.equal(http.gateway.inferences[0]?.signal.aborted, true)
    assert.equal(clock.pendingTimers, 0)
    http.gateway.held[0]?.answer()
  })

  it('destroys busy: cuts every connection off at once', async () => {
    const http = await startHttp()
    http.gateway.holds = true
    const failed = assert.rejects(http.post(INFER), { code: 'ECONNRESET' })
    await http.gateway.arrived(1)
    await http.server.destroy()
    await failed
    assert.equal(http.server.inFlight, 0)
    http.gateway.held[0]?.answer()
  })

  it('may be drained and destroyed again: all calls see the same end', async () => {
    const http = await startHttp()
    http.gateway.holds = true
    const failed = assert.rejects(http.post(INFER), { code: 'ECONNRESET' })
    await http.gateway.arrived(1)
    const first = http.server.drain(60_000)
    const second = http.server.drain(60_000)
    await http.server.destroy()
    assert.deepEqual([await first, await second], [false, false])
    await http.server.destroy()
    await failed
    http.gateway.held[0]?.answer()
  })

  it('does not listen again after its end', async () => {
    const http = await startHttp()
    await http.server.drain(0)
    await assert.rejects(http.server.listen(ADDRESS), /has ended/)
  })

  it('says which port is in use and what to do', async () => {
    const http = await startHttp()
    const { port } = http
    await assert.rejects(
      startHttp({}, {}, port),
      (error) =>
        error instanceof ListenError &&
        error.message === `port ${port} on 127.0.0.1 is in use: choose another with --port`,
    )
  })

  it('says which address is not one of this machine', async () => {
    await assert.rejects(startHttp({}, {}, 0, '203.0.113.1'), /203\.0\.113\.1 is not an address of this machine/)
  })
})
