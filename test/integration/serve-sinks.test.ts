/** What takes logs, metrics and dates may stand still or jump: requests do not notice, and what is lost is counted. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { sumAndDifference } from '../../loadtest/models/special/index.ts'
import { startServe } from '../../src/app/serve.ts'
import { parseServeFlags } from '../../src/config/flags.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { Clock } from '../../src/lib/clock.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { eventually, until } from '../support/eventually.ts'
import { HttpClient } from '../support/http-client.ts'
import { ModelsFolder } from '../support/models-folder.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const BODY = JSON.stringify({
  inputs: ['a', 'b'].map((name) => ({ name, shape: [1, 2], datatype: 'FP32', data: [1, 2] })),
})
const HOUR_MS = 3_600_000

let models: ModelsFolder
let cache: string

before(async () => {
  models = await ModelsFolder.make()
  await models.write('plain', '1', sumAndDifference().model)
  cache = await mkdtemp(join(tmpdir(), 'modelmux-sinks-'))
})

after(async () => {
  await models.removeAll()
  await rm(cache, { recursive: true })
})

describe('a server whose log and metrics nobody reads', () => {
  it('answers on, counts the lines it drops, and ends in order', async () => {
    const args = ['serve', '--models', models.dir, '--cache', join(cache, 'unread'), '--port', '0', '--workers', '1']
    const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    after(() => child.kill('SIGKILL'))
    // Standard error is a pipe that nobody reads: it takes 64 KiB and then nothing more.
    const url = await listeningUrl(child.stdout)
    const port = Number(new URL(url).port)
    const client = new HttpClient(port)
    await until('the model answers', async () => (await client.post('/v2/models/plain/infer', BODY)).status === 200)
    const scrapers = await Promise.all(Array.from({ length: 20 }, () => unreadScrape(port)))

    const id = ['x-request-id', 'r'.repeat(128)]
    const drops = await eventually('lines are dropped', async () => {
      await Promise.all(
        Array.from({ length: 100 }, () => client.post(`/v2/models/${'x'.repeat(200)}/infer`, BODY, ...id)),
      )
      const { text } = await client.get('/metrics')
      const dropped = Number(/^modelmux_log_lines_dropped_total (\d+)$/m.exec(text)?.[1])
      return dropped > 0 ? dropped : undefined
    })
    assert.ok(drops > 0)
    assert.equal((await client.post('/v2/models/plain/infer', BODY)).status, 200)
    for (const socket of scrapers) socket.destroy()
    client.close()
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    assert.deepEqual(await exited, [0, null])
  })
})

describe('a server whose clock jumps by an hour', () => {
  it('meets deadlines, back-offs and residency by time that passes, not by the date', async () => {
    let offsetMs = 0
    const clock: Clock = { ...systemClock, wall: () => systemClock.wall() + offsetMs }
    const flags = ['--models', models.dir, '--cache', join(cache, 'jumps'), '--port', '0', '--workers', '1']
    const loaded = loadConfig({ flags: parseServeFlags(flags), folders: 'check' })
    const config = { ...loaded, telemetry: { ...loaded.telemetry, logLevel: 'silent' as const } }
    const server = await startServe(config, clock)
    const client = new HttpClient(server.port)
    const infer = () => client.post('/v2/models/plain/infer', BODY, 'x-modelmux-timeout-ms', '20000')
    await until('the model answers', async () => (await infer()).status === 200)
    for (const jumpMs of [HOUR_MS, -2 * HOUR_MS, HOUR_MS]) {
      offsetMs += jumpMs
      assert.equal((await infer()).status, 200)
      // A load of its own, with its waits and its minimal residency, under the new date.
      const unloaded = await client.post('/v2/repository/models/plain/unload')
      assert.equal(unloaded.status, 200, unloaded.text)
      const again = await infer()
      assert.equal(again.status, 200, again.text)
      assert.equal(again.headers['x-modelmux-cache'], 'load')
      const overview = JSON.parse((await client.get('/admin/overview')).text) as { server: { uptimeSeconds: number } }
      assert.ok(overview.server.uptimeSeconds >= 0 && overview.server.uptimeSeconds < HOUR_MS / 1000)
    }
    client.close()
    assert.equal(await server.stop('the test is over'), true)
  })
})

function listeningUrl(stdout: NodeJS.ReadableStream): Promise<string> {
  return new Promise((resolve) => {
    let text = ''
    stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      const url = /^listening on (http:\S+)$/m.exec(text)?.[1]
      if (url !== undefined) resolve(url)
    })
  })
}

/** Asks for the metrics and reads nothing of them. */
function unreadScrape(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.pause()
      socket.write('GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(20), () => resolve(socket))
    })
    socket.once('error', reject)
  })
}
