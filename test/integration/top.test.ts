import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import type { Server } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, it } from 'node:test'
import type { ReadStream, WriteStream } from 'node:tty'
import { sumAndDifference } from '../../loadtest/models/special/index.ts'
import type { TopStreams } from '../../src/cli/top.ts'
import { topCommand } from '../../src/cli/top.ts'
import type { Overview } from '../../src/telemetry/overview.ts'
import { until } from '../support/eventually.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { ModelsFolder } from '../support/models-folder.ts'
import { overviewOf } from '../support/overview.ts'
import { runModelmux, ServerProcess } from '../support/server-process.ts'

const BODY = JSON.stringify({
  inputs: ['a', 'b'].map((name) => ({ name, shape: [1, 2], datatype: 'FP32', data: [1, 2] })),
})

describe('top beside a server with traffic', () => {
  let models: ModelsFolder
  let server: ServerProcess

  before(async () => {
    models = await ModelsFolder.make()
    for (const name of ['acme/busy', 'acme/calm']) await models.write(name, '1', sumAndDifference().model)
    const config = { store: { pollMs: 200, settleMs: 0 } }
    server = await ServerProcess.start({ models: models.dir, args: ['--workers', '1'], config })
    await until('the folder is known', () => server.logged('registry.scanned').length > 0)
    for (const [model, times] of [
      ['acme/calm', 2],
      ['acme/busy', 15],
    ] as const)
      for (let i = 0; i < times; i++) await server.client.post(`/v2/models/${model}/infer`, BODY)
  })

  after(async () => {
    await server.stop()
    await models.removeAll()
  })

  it('prints one look as text where there is no terminal', async () => {
    const { code, stdout, stderr } = await runModelmux(['top', '--url', server.url])
    assert.deepEqual([code, stderr], [0, ''])
    const lines = stdout.split('\n')
    assert.match(lines[0] ?? '', /^modelmux \d.* replica-[0-9a-f]+ .* up \d+s/)
    const rows = lines.filter((line) => line.includes('acme/'))
    assert.match(rows[0] ?? '', /acme\/busy:1 +ready/)
    assert.match(rows[1] ?? '', /acme\/calm:1 +ready/)
    for (const text of [
      'MODELS 2 known, 2 in memory',
      'WORKERS 1 of 1 up',
      'worker-0',
      'MEMORY',
      'QUEUE',
      'EVENTS',
      'model.loaded',
    ])
      assert.ok(stdout.includes(text), `${text} in\n${stdout}`)
    assert.ok(lines.every((line) => line.length <= 120 && !line.includes('\u001b')))
  })

  it('prints one look as JSON', async () => {
    const { code, stdout } = await runModelmux(['top', '--once', '--json', '--url', server.url])
    assert.equal(code, 0)
    const overview = JSON.parse(stdout) as Overview
    assert.deepEqual(
      overview.models.hottest.map(({ name, requests }) => [name, requests]),
      [
        ['acme/busy', 15],
        ['acme/calm', 2],
      ],
    )
  })

  it('says why it cannot, and what it would understand', async () => {
    const nobody = new StubServer()
    await nobody.start()
    await nobody.stop()
    const gone = await runModelmux(['top', '--once', '--url', nobody.url])
    assert.deepEqual([gone.code, gone.stdout], [1, ''])
    assert.equal(gone.stderr, `modelmux: ${nobody.url}: no connection (ECONNREFUSED)\n`)
    for (const args of [['--url', 'nonsense'], ['--interval', '0'], ['--nonsense'], ['stray']]) {
      const { code, stderr } = await runModelmux(['top', ...args])
      assert.equal(code, 2, args.join(' '))
      assert.match(stderr, /^modelmux: ./)
    }
    const help = await runModelmux(['top', '--help'])
    assert.equal(help.code, 0)
    assert.match(help.stdout, /--interval SECONDS/)
  })
})

/** A terminal of so many columns that remembers what was written to it. */
class FakeTerminal {
  readonly input = Object.assign(new EventEmitter(), {
    isTTY: true,
    isRaw: false,
    setRawMode(isRaw: boolean) {
      this.isRaw = isRaw
    },
    resume: () => undefined,
    pause: () => undefined,
  })
  readonly output = Object.assign(new EventEmitter(), {
    isTTY: true,
    columns: 100,
    rows: 30,
    write: (text: string): boolean => {
      this.writes.push(text)
      return true
    },
  })
  readonly writes: string[] = []

  press(key: string): void {
    this.input.emit('data', Buffer.from(key))
  }

  /** The frame that is on the screen. */
  get frame(): string {
    return this.writes.findLast((text) => text.includes('\u001b[H')) ?? ''
  }

  streams(clock: ManualClock): TopStreams {
    return {
      // The parts of a terminal that are used.
      input: this.input as unknown as ReadStream,
      output: this.output as unknown as WriteStream,
      errors: { write: (text: string) => this.writes.push(text) },
      facts: { wantsColours: true, isDumb: false, isUnicode: true },
      clock,
    }
  }
}

/** Answers what it is told, on the same port each time. */
class StubServer {
  overview: Overview | undefined = overviewOf()
  asked = 0
  #server: Server | undefined
  #port = 0

  async start(): Promise<void> {
    this.#server = createServer((_request, response) => {
      this.asked++
      if (this.overview === undefined) response.writeHead(404).end()
      else response.end(JSON.stringify(this.overview))
    })
    await new Promise<void>((resolve) => void this.#server?.listen(this.#port, '127.0.0.1', resolve))
    this.#port = (this.#server.address() as AddressInfo).port
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  async stop(): Promise<void> {
    this.#server?.closeAllConnections()
    await new Promise((resolve) => void this.#server?.close(resolve))
  }
}

describe('top on a terminal', () => {
  async function open(interrupt = new AbortController()) {
    const server = new StubServer()
    await server.start()
    const clock = new ManualClock()
    const terminal = new FakeTerminal()
    const ended = topCommand(['--url', server.url], interrupt.signal, terminal.streams(clock))
    const shows = (text: string) => until(`the screen shows ${text}`, () => terminal.frame.includes(text))
    return { server, clock, terminal, ended, shows }
  }

  it('takes the screen, follows the server, and gives it back on q', async () => {
    const { server, clock, terminal, ended, shows } = await open()
    await shows('customer-0001/churn:1')
    assert.equal(terminal.input.isRaw, true)
    const overview = overviewOf()
    server.overview = { ...overview, traffic: { ...overview.traffic, requests: 5_000_000 } }
    await clock.advance(1000)
    await shows('5.0M answered')
    terminal.press('x')
    terminal.press('q')
    assert.equal(await ended, 0)
    assert.match(terminal.writes[0] ?? '', /\?1049h.*\?25l/)
    assert.match(terminal.writes.at(-1) ?? '', /\?25h.*\?1049l/)
    assert.equal(terminal.input.isRaw, false)
    for (const emitter of [terminal.input, terminal.output]) assert.deepEqual(emitter.eventNames(), [])
    assert.equal(clock.pendingTimers, 0)
    await server.stop()
  })

  it('gives the screen back on Ctrl-C and on a signal', async () => {
    const first = await open()
    await first.shows('MODELS')
    first.terminal.press('\u0003')
    assert.equal(await first.ended, 0)
    await first.server.stop()
    const interrupt = new AbortController()
    const second = await open(interrupt)
    await second.shows('MODELS')
    interrupt.abort('SIGTERM')
    assert.equal(await second.ended, 0)
    assert.match(second.terminal.writes.at(-1) ?? '', /\?1049l/)
    await second.server.stop()
  })

  it('draws anew when the terminal changes its size', async () => {
    const { server, terminal, ended, shows } = await open()
    await shows('private')
    terminal.output.columns = 50
    terminal.output.emit('resize')
    assert.doesNotMatch(terminal.frame, /tensors/)
    terminal.press('q')
    await ended
    await server.stop()
  })

  it('keeps the last picture while the server is gone, says so, and goes on when it is back', async () => {
    const { server, clock, terminal, ended, shows } = await open()
    await shows('customer-0001')
    await server.stop()
    await clock.advance(1000)
    await shows('no connection')
    assert.match(terminal.frame, /customer-0001/)
    await server.start()
    server.overview = undefined
    await clock.advance(1000)
    await shows('telemetry.overview is off')
    server.overview = overviewOf()
    await clock.advance(1000)
    await until('the problem is over', () => !terminal.frame.includes('telemetry.overview'))
    terminal.press('q')
    await ended
    await server.stop()
  })

  it('leaves frames out while the terminal takes none', async () => {
    const { server, clock, terminal, ended, shows } = await open()
    await shows('customer-0001')
    const { write } = terminal.output
    terminal.output.write = (text) => {
      write(text)
      return false
    }
    await clock.advance(1000)
    const asked = server.asked
    await until('the server was asked again', () => server.asked >= 2)
    const frames = terminal.writes.length
    for (let i = 0; i < 5; i++) await clock.advance(1000)
    assert.ok(asked > 0 && terminal.writes.length <= frames + 1)
    terminal.output.write = write
    terminal.output.emit('drain')
    terminal.press('q')
    await ended
    await server.stop()
  })
})
