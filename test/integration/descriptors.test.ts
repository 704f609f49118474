/** A server whose file descriptors run out, by connections as a rule: what is connected is served, and all comes back by itself. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { connect } from 'node:net'
import type { TestContext } from 'node:test'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { Rng } from '../../loadtest/models/index.ts'
import { addOne, sumAndDifference } from '../../loadtest/models/special/index.ts'
import { until } from '../support/eventually.ts'
import { HttpClient } from '../support/http-client.ts'
import { assertOutputs, infer } from '../support/infer-client.ts'
import { ModelsFolder } from '../support/models-folder.ts'
import { isAlive, ServerProcess } from '../support/server-process.ts'

const run = promisify(execFile)
const rng = new Rng('descriptors')

let models: ModelsFolder

before(async () => {
  models = await ModelsFolder.make()
  await models.write('acme/quick', '1', addOne().model)
  await models.write('acme/late', '1', sumAndDifference().model)
})

after(() => models.removeAll())

describe('a server without descriptors', () => {
  it('refuses new connections, serves those it has, starts no worker, and recovers when there are some again', async (context) => {
    const server = await started(context)
    await quick(server.client)
    await late(server.client)
    // The first new connections still get in.
    await leave(server.pid, 8)
    const sockets = await connectUntilRefused(server.port)
    for (let i = 0; i < 20; i++) await quick(server.client)
    // A worker's successor cannot be made, as not even what the dead one had is free; the one in reserve may still come up.
    await leave(server.pid, 0)
    await until('starts fail, one after the other', () => {
      const pid = Number(server.logged('worker.up').at(-1)?.pid)
      if (isAlive(pid)) process.kill(pid, 'SIGKILL')
      return server.logged('worker.start-failed').length > 1
    })
    const refused = await infer(server.client, 'acme/quick', addOne().inputs(rng, 1), {
      headers: ['x-modelmux-timeout-ms', '50'],
    })
    assert.ok(refused.status >= 500, refused.text)
    assert.equal((await server.client.get('/v2/health/ready')).status, 503)
    await leave(server.pid, 20)
    for (const socket of sockets) socket.destroy()
    await until('another client is served', async () => {
      const another = new HttpClient(server.port)
      const answer = await another.get('/v2/health/ready').catch(() => undefined)
      another.close()
      return answer?.status === 200
    })
    await quick(server.client)
    await late(server.client)
  })
})

async function started(context: TestContext): Promise<ServerProcess> {
  const server = await ServerProcess.start({
    models: models.dir,
    args: ['--workers', '1'],
    config: { store: { settleMs: 0, pollMs: 200 }, worker: { respawnMaxMs: 200 } },
  })
  context.after(async () => {
    await server.stop()
  })
  await server.logs('registry.scanned')
  return server
}

async function quick(client: HttpClient): Promise<void> {
  const inputs = addOne().inputs(rng, 1)
  assertOutputs(await infer(client, 'acme/quick', inputs), addOne().expected(inputs))
}

async function late(client: HttpClient): Promise<void> {
  const inputs = sumAndDifference().inputs(rng, 1)
  assertOutputs(await infer(client, 'acme/late', inputs), sumAndDifference().expected(inputs))
}

/** Leaves a process only so many descriptors beside those it has. */
async function leave(pid: number, spare: number): Promise<void> {
  const taken = new Set((await readdir(`/proc/${pid}/fd`)).map(Number))
  let end = 0
  for (let free = 0; free < spare; end++) if (!taken.has(end)) free++
  await run('prlimit', ['--pid', String(pid), `--nofile=${end}:`])
}

/** Connections that were taken before one was closed by the server at once. */
async function connectUntilRefused(port: number): Promise<Socket[]> {
  const sockets: Socket[] = []
  for (;;) {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write('GET /v2/health/live HTTP/1.1\r\nhost: modelmux\r\n\r\n')
    // A connection that is refused is taken by the system and closed by the server, or reset.
    const isAnswered = await new Promise((resolve) => {
      socket.once('data', () => resolve(true))
      socket.once('close', () => resolve(false))
    })
    if (isAnswered === false) return sockets
    sockets.push(socket)
    assert.ok(sockets.length < 100, 'there is no limit')
  }
}
