import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, get, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { BulkAgent } from '../../../src/clients/bulk-agent.ts'

const BODY = randomBytes(5 * 2 ** 20 + 123)

describe('connections for large bodies', () => {
  const sockets = new Set<Socket>()
  let server: Server
  let agent: BulkAgent
  before(async () => {
    server = createServer((_request, response) => void response.end(BODY)).listen(0, '127.0.0.1')
    server.on('connection', (socket) => void sockets.add(socket))
    await once(server, 'listening')
    agent = new BulkAgent({ keepAlive: true, maxSockets: 1 })
  })
  after(() => {
    agent.destroy()
    server.closeAllConnections()
    server.close()
  })

  it('bring every byte, in pieces that nothing writes over, one answer after the other', async () => {
    for (let answer = 0; answer < 3; answer++) {
      const body = await ask()
      const pieces: Buffer[] = []
      for await (const piece of body) {
        pieces.push(piece as Buffer)
        // While nobody takes the next, more arrives behind it.
        await turn()
      }
      assert.ok(Buffer.concat(pieces).equals(BODY), `answer ${answer} has other bytes`)
      assert.ok(
        pieces.some(({ length }) => length > 64 * 1024),
        'no piece is larger than those of any connection',
      )
    }
    assert.equal(sockets.size, 1)
  })

  it('end with a request that is given up', async () => {
    const body = await ask()
    const { promise: closed, resolve } = Promise.withResolvers<void>()
    living().once('close', () => resolve())
    body.destroy()
    await closed
  })

  it('are not used again after an answer that nobody asked for', async () => {
    for await (const _piece of await ask());
    const socket = living()
    const closed = once(socket, 'close')
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
    await closed
    const before = sockets.size
    for await (const _piece of await ask());
    assert.equal(sockets.size, before + 1)
  })

  /** The server's end of the one connection there is. */
  function living(): Socket {
    const [socket, ...more] = [...sockets].filter((one) => !one.destroyed)
    assert.ok(socket !== undefined && more.length === 0)
    return socket
  }

  async function ask(): Promise<IncomingMessage> {
    const { port } = server.address() as AddressInfo
    const [answer] = (await once(get({ port, host: '127.0.0.1', agent }), 'response')) as [IncomingMessage]
    return answer
  }
})
