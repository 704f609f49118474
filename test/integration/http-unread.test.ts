import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { after, describe, it } from 'node:test'
import { systemClock } from '../../src/lib/clock.ts'
import type { Harness } from '../support/http-harness.ts'
import { startHttp } from '../support/http-harness.ts'

const INFER = '/v2/models/acme/churn/infer'
const ASK = `POST ${INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}`
/** More than the buffers of both ends of a connection hold. */
const LARGE = Buffer.alloc(64 * 2 ** 20, 'x')

/** A client that asks and never reads. */
async function deafClient(http: Harness, ask = ASK): Promise<Socket> {
  const socket = await http.connect()
  socket.on('error', () => {})
  socket.pause()
  // It would not even notice that the server closed it.
  after(() => socket.destroy())
  socket.write(ask)
  return socket
}

async function statusUntil(http: Harness, wanted: number): Promise<void> {
  let answer = await http.post(INFER)
  while (answer.status !== wanted) answer = await http.post(INFER)
  if (wanted === 503) assert.equal(answer.json.code, 'OVERLOADED')
}

describe('answers that clients do not read', () => {
  it('cost the connection when nothing of them is taken for a while', async () => {
    const http = await startHttp({ requestTimeoutMs: 100, headersTimeoutMs: 100 })
    http.gateway.reply = { body: LARGE }
    await deafClient(http)
    await http.finished(1)
    assert.deepEqual([http.summaries[0]?.status, http.summaries[0]?.code], [499, 'CLIENT_GONE'])
  })

  it('cost the connection also when the client keeps sending', async () => {
    const http = await startHttp({ requestTimeoutMs: 100, headersTimeoutMs: 100 })
    http.gateway.reply = { body: LARGE }
    const deaf = await deafClient(http)
    const sending = systemClock.every(10, () => deaf.write('G'))
    after(() => sending.cancel())
    await http.finished(1)
    assert.deepEqual([http.summaries[0]?.status, http.summaries[0]?.code], [499, 'CLIENT_GONE'])
  })

  it('let no inference begin while they fill the budget, and give it back with the connection', async () => {
    const http = await startHttp({ maxReceivingBytes: 1_000_000 })
    http.gateway.reply = { body: LARGE }
    const deaf = await deafClient(http)
    await http.gateway.arrived(1)
    http.gateway.reply = {}
    await statusUntil(http, 503)
    const asked = http.gateway.inferences.length
    assert.equal((await http.post(INFER)).status, 503)
    assert.equal(http.gateway.inferences.length, asked)
    assert.equal((await http.get('/livez')).status, 200)
    deaf.destroy()
    await statusUntil(http, 200)
  })

  it('cost the connection much sooner when somebody else finds no room', async () => {
    const http = await startHttp({ maxReceivingBytes: 1_000_000, requestTimeoutMs: 600_000 })
    http.gateway.reply = { body: LARGE }
    await deafClient(http)
    await http.gateway.arrived(1)
    http.gateway.reply = {}
    await statusUntil(http, 503)
    const gone = () => http.summaries.some(({ code }) => code === 'CLIENT_GONE')
    while (!gone()) await http.finished(http.summaries.length + 1)
    assert.equal((await http.post(INFER)).status, 200)
  })

  it('to questions about the server keep nobody from inference, nor anybody from its health', async () => {
    const metrics = { contentType: 'text/plain', render: () => Promise.resolve(LARGE.toString('latin1')) }
    const http = await startHttp({ maxReceivingBytes: 1_000_000 }, { metrics })
    const deaf = await deafClient(http, 'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n')
    let told = await http.get('/v2')
    while (told.status === 200) told = await http.get('/v2')
    assert.deepEqual([told.status, told.json.code], [503, 'OVERLOADED'])
    assert.equal((await http.post(INFER)).status, 200)
    for (const path of ['/livez', '/readyz', '/v2/health/live', '/v2/health/ready'])
      assert.equal((await http.get(path)).status, 200, path)
    assert.ok(http.server.heldBytes.unread >= LARGE.length / 2)
    deaf.destroy()
    while (told.status === 503) told = await http.get('/v2')
    assert.equal(told.status, 200)
  })

  it('are given back too when they waited behind another answer', async () => {
    const http = await startHttp({ maxReceivingBytes: 1_000_000 })
    http.gateway.holds = true
    const socket = await deafClient(http)
    await http.gateway.arrived(1)
    http.gateway.holds = false
    http.gateway.reply = { body: LARGE }
    socket.write(ASK)
    await http.gateway.arrived(2)
    http.gateway.reply = {}
    await statusUntil(http, 503)
    socket.destroy()
    await statusUntil(http, 200)
  })

  it('cost nothing when they are read, however large, and the connection is kept', async () => {
    const http = await startHttp({ maxReceivingBytes: 1_000_000 })
    http.gateway.reply = { body: LARGE }
    for (let i = 0; i < 3; i++) assert.equal((await http.post(INFER)).body.length, LARGE.length)
    await http.finished(3)
    assert.deepEqual(
      http.summaries.map(({ status }) => status),
      [200, 200, 200],
    )
  })
})
