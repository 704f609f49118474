/** Connections: too many of them, idle ones, half-closed ones, and requests that end badly behind others on the same one. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, describe, it } from 'node:test'
import { addOne } from '../../loadtest/models/special/index.ts'
import { until } from '../support/eventually.ts'
import { HealthCheck } from '../support/healthy.ts'
import type { Harness } from '../support/http-harness.ts'
import { startHttp } from '../support/http-harness.ts'
import { ModelsFolder } from '../support/models-folder.ts'
import { RawConnection } from '../support/raw-connection.ts'
import { ServerProcess } from '../support/server-process.ts'

const INFER = '/v2/models/acme/churn/infer'
const ASK = `POST ${INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}`
const LIVE = 'GET /livez HTTP/1.1\r\nHost: x\r\n\r\n'

function openTo({ port }: Harness, count: number): Promise<RawConnection[]> {
  return Promise.all(Array.from({ length: count }, () => RawConnection.open(port)))
}

async function atRest({ server }: Harness): Promise<void> {
  await until('nothing is in flight', () => server.inFlight === 0)
  await until('no connection is open', () => server.connections.open === 0)
}

describe('connections of one address', () => {
  it('are closed beyond their number, and taken again when others went', async () => {
    const http = await startHttp({ maxConnectionsPerAddress: 3 })
    const connections = await openTo(http, 3)
    for (const connection of connections) await connection.write(LIVE).answers(1)
    const [fourth] = await openTo(http, 1)
    assert.deepEqual(await fourth?.write(LIVE).untilOver(), [])
    assert.deepEqual(http.server.connections.refused, { full: 0, address: 1 })
    for (const connection of connections) connection.write(LIVE)
    for (const connection of connections) assert.equal((await connection.answers(2)).length, 2)
    connections.pop()?.destroy()
    await until('another is taken', async () => {
      const [next] = await openTo(http, 1)
      next?.write(LIVE)
      const answered = await next?.answers(1).catch(() => [])
      next?.destroy()
      return answered?.length === 1
    })
    for (const connection of connections) connection.destroy()
    await atRest(http)
  })
})

describe('a server that is full', () => {
  it('goes on to serve who was there, idle or not, and takes others when some go', async () => {
    const http = await startHttp({ maxConnections: 5 })
    const there = await openTo(http, 5)
    for (const connection of there) await connection.write(LIVE).answers(1)
    const late = await openTo(http, 3)
    for (const connection of late) assert.deepEqual(await connection.write(LIVE).untilOver(), [])
    assert.deepEqual(http.server.connections.refused, { full: 3, address: 0 })
    for (const connection of there) assert.equal((await connection.write(LIVE).answers(2)).length, 2)
    there.pop()?.destroy()
    await until('another is served', async () => {
      const [next] = await openTo(http, 1)
      next?.write(LIVE)
      const answered = await next?.answers(1).catch(() => [])
      next?.destroy()
      return answered?.length === 1
    })
    for (const connection of there) connection.destroy()
    await atRest(http)
  })

  it('closes none that waits for an answer', async () => {
    const http = await startHttp({ maxConnections: 5 })
    http.gateway.holds = true
    const busy = await openTo(http, 5)
    for (const connection of busy) connection.write(ASK)
    await http.gateway.arrived(5)
    const [sixth] = await openTo(http, 1)
    assert.deepEqual(await sixth?.write(LIVE).untilOver(), [])
    for (const held of http.gateway.held) held.answer()
    for (const connection of busy) assert.equal((await connection.answers(1))[0]?.status, 200)
    for (const connection of busy) connection.destroy()
    await atRest(http)
  })
})

describe('a half-closed connection', () => {
  it('still gets its answer, after interim ones that ask whether anybody is there', async () => {
    const http = await startHttp()
    http.gateway.holds = true
    const [connection] = await openTo(http, 1)
    assert.ok(connection !== undefined)
    connection.write(ASK).socket.end()
    await http.gateway.arrived(1)
    await until('it was asked twice', () => connection.received.split('HTTP/1.1 102 Processing').length > 2)
    assert.equal(http.gateway.inferences[0]?.signal.aborted, false)
    http.gateway.held[0]?.answer()
    const answers = await connection.untilOver()
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200],
    )
    await atRest(http)
  })

  it('whose client is gone is noticed, though it closed without a reset', async () => {
    const http = await startHttp()
    http.gateway.holds = true
    const [connection] = await openTo(http, 1)
    connection?.write(ASK)
    await http.gateway.arrived(1)
    connection?.destroy()
    await until('the inference is aborted', () => http.gateway.inferences[0]?.signal.aborted === true)
    await atRest(http)
  })

  it('of HTTP/1.0, which knows no interim answers, counts as left', async () => {
    const http = await startHttp()
    http.gateway.holds = true
    const [connection] = await openTo(http, 1)
    connection?.write(ASK.replace('HTTP/1.1', 'HTTP/1.0')).socket.end()
    await until('the inference is aborted', () => http.gateway.inferences[0]?.signal.aborted === true)
    await atRest(http)
  })
})

describe('what follows a request on its connection', () => {
  for (const [what, bytes] of [
    ['bytes that are no request', 'GARBAGE\r\n\r\n'],
    ['a request without a Host', 'GET /livez HTTP/1.1\r\n\r\n'],
    [
      'the beginning of a request in two framings',
      `POST ${INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`,
    ],
  ] as const) {
    it(`does not take the place of its answer: ${what}`, async () => {
      const http = await startHttp()
      http.gateway.holds = true
      const [connection] = await openTo(http, 1)
      assert.ok(connection !== undefined)
      connection.write(ASK + bytes)
      await http.gateway.arrived(1)
      // And again, as long as the answer is not there.
      connection.write(bytes)
      http.gateway.held[0]?.answer()
      const answers = await connection.untilOver()
      assert.equal(answers[0]?.status, 200)
      assert.deepEqual(
        answers.slice(1).map(({ status }) => status),
        what === 'a request without a Host' ? [400] : [],
      )
      connection.destroy()
      await atRest(http)
    })
  }

  it('leaves nothing behind when it is a tunnel, which Node gives up without a word', async () => {
    const http = await startHttp()
    http.gateway.holds = true
    const [connection] = await openTo(http, 1)
    connection?.write(`${ASK.repeat(3)}CONNECT inner:22 HTTP/1.1\r\nHost: x\r\n\r\n`)
    await connection?.untilOver()
    await until(
      'all are aborted',
      () => http.gateway.inferences.length === 3 && http.gateway.inferences.every(({ signal }) => signal.aborted),
    )
    connection?.destroy()
    await atRest(http)
  })
})

describe('thousands of idle connections', () => {
  const WANTED = 10_000
  /** Files that this process, and the server, need beside them. */
  const OTHER_FILES = 1000
  /** Of the server's memory, for one: Node's own cost is some 10 KB. */
  const MOST_BYTES_EACH = 64 * 1024

  let models: ModelsFolder
  let server: ServerProcess
  let health: HealthCheck

  before(async () => {
    models = await ModelsFolder.make()
    await models.write('acme/churn', '7', addOne().model)
    server = await ServerProcess.start({
      models: models.dir,
      args: ['--workers', '1'],
      config: { store: { settleMs: 0 }, server: { maxConnections: 2 * WANTED } },
    })
    await server.logs('registry.scanned')
    health = await HealthCheck.of(server, 'acme/churn', addOne())
  })

  after(async () => {
    await server.stop()
    await models.removeAll()
  })

  it('cost little memory each, and nobody else an answer', async (t) => {
    const count = Math.min(WANTED, (await mayOpen()) - OTHER_FILES)
    const before = await residentBytes()
    const idle: RawConnection[] = []
    while (idle.length < count) {
      const some = await Promise.all(
        Array.from({ length: Math.min(250, count - idle.length) }, () => RawConnection.open(server.port)),
      )
      // An answered request each: they count as kept, not as slow.
      for (const connection of some) connection.write(LIVE)
      await Promise.all(some.map((connection) => connection.answers(1)))
      idle.push(...some)
    }
    await health.assertAnswers()
    assert.ok(((await server.metrics()).get('modelmux_connections_open') ?? 0) >= count)
    const each = ((await residentBytes()) - before) / count
    t.diagnostic(`${count} idle connections take ${Math.round(each)} bytes each`)
    assert.ok(each < MOST_BYTES_EACH, `${each} bytes each`)
    assert.ok(idle.every(({ isOver }) => !isOver))
    for (const connection of idle) connection.destroy()
    // Freed memory stays with the allocator for a while.
    await health.assertHealthy(count * MOST_BYTES_EACH)
  })

  async function residentBytes(): Promise<number> {
    return (await server.metrics()).get('modelmux_process_resident_bytes') ?? 0
  }
})

/** Open files that this process may have. */
async function mayOpen(): Promise<number> {
  return Number(/^Max open files\s+(\d+)/m.exec(await readFile('/proc/self/limits', 'utf8'))?.[1])
}
