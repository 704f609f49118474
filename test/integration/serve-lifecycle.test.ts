import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { after, before, describe, it } from 'node:test'
import { parse } from 'yaml'
import { type NamedTensor, Rng } from '../../loadtest/models/index.ts'
import { addOne, slow } from '../../loadtest/models/special/index.ts'
import { until } from '../support/eventually.ts'
import { assertOutputs, infer } from '../support/infer-client.ts'
import { ModelsFolder } from '../support/models-folder.ts'
import type { ServeOptions } from '../support/server-process.ts'
import { isAlive, runModelmux, ServerProcess } from '../support/server-process.ts'

const rng = new Rng('serve lifecycle')
const QUICK = { config: { store: { settleMs: 0 } }, args: ['--workers', '1'] } as const

let models: ModelsFolder

before(async () => {
  models = await ModelsFolder.make()
  await models.write('acme/slow', '1', slow().model)
  await models.write('acme/quick', '1', addOne().model)
})

after(() => models.removeAll())

describe('the end of a server', () => {
  const ENDS: readonly {
    readonly what: string
    readonly via: ServeOptions['via'] & string
    readonly signal: 'SIGTERM' | 'SIGINT'
    readonly to: 'process' | 'group'
  }[] = [
    { what: 'SIGTERM', via: 'node', signal: 'SIGTERM', to: 'process' },
    { what: 'SIGTERM through npm', via: 'npm', signal: 'SIGTERM', to: 'process' },
    { what: 'Ctrl-C in a terminal', via: 'node', signal: 'SIGINT', to: 'group' },
    { what: 'Ctrl-C in a terminal, through npm', via: 'npm', signal: 'SIGINT', to: 'group' },
  ]
  for (const { what, via, signal, to } of ENDS) {
    it(`answers what is inside, refuses what comes and ends with 0, by ${what}`, async (context) => {
      const server = await started(context, { ...QUICK, models: models.dir, via })
      await server.logs('registry.scanned')
      const inputs = slow().inputs(rng, 1)
      assertOutputs(await infer(server.client, 'acme/slow', inputs), slow().expected(inputs))
      const pids = childrenOf(server)
      const inside = Array.from({ length: 3 }, () => infer(server.client, 'acme/slow', iterations(4000)))
      await until('the requests are inside', async () => {
        // The question itself is a request too.
        return (await server.metrics()).get('modelmux_requests_in_flight') === 1 + inside.length
      })
      server.signal(signal, to)
      await server.logs('server.draining')
      await assert.rejects(infer(server.client, 'acme/quick', addOne().inputs(rng, 1)), { code: 'ECONNREFUSED' })
      for (const answer of await Promise.all(inside)) {
        assertOutputs(answer, slow().expected(iterations(4000)))
        assert.equal(answer.headers.connection, 'close')
      }
      assert.deepEqual(await server.end(), { code: 0, signal: null })
      assert.equal(server.logged('server.closed')[0]?.isWhole, true)
      assert.deepEqual(server.logged('process.stopped')[0]?.reason, signal)
      await gone(pids)
    })
  }

  it('is one drain for the two signals that one Ctrl-C becomes under npm, also when there is nothing to do', async (context) => {
    const server = await started(context, { ...QUICK, models: models.dir, via: 'npm' })
    await server.logs('registry.scanned')
    server.signal('SIGINT', 'group')
    assert.deepEqual(await server.end(), { code: 0, signal: null })
    assert.equal(server.logged('process.stopped').length, 1)
  })

  it('cuts off what does not end within the drain timeout, says so, and ends with 1', async (context) => {
    const config = { store: { settleMs: 0 }, server: { drainTimeoutMs: 50 }, worker: { stopGraceMs: 50 } }
    const server = await started(context, { models: models.dir, config, args: ['--workers', '1'] })
    await server.logs('registry.scanned')
    const cutOff = infer(server.client, 'acme/slow', iterations(200_000)).then(
      ({ status }) => status,
      () => 'cut off',
    )
    await until('the request is inside', async () => {
      return (await server.metrics()).get('modelmux_requests_in_flight') === 2
    })
    const pids = childrenOf(server)
    server.signal('SIGTERM')
    assert.deepEqual(await server.end(), { code: 1, signal: null })
    assert.notEqual(await cutOff, 200)
    assert.equal(server.logged('server.closed')[0]?.isWhole, false)
    await gone(pids)
  })

  it('is at once by a second signal', async (context) => {
    const server = await started(context, { ...QUICK, models: models.dir })
    await server.logs('registry.scanned')
    infer(server.client, 'acme/slow', iterations(20_000)).catch(() => {})
    await until('the request is inside', async () => {
      return (await server.metrics()).get('modelmux_requests_in_flight') === 2
    })
    const pids = childrenOf(server)
    server.signal('SIGTERM')
    await server.logs('server.draining')
    // A terminal's Ctrl-C may come twice at the same time; only one that comes later is meant.
    await until('it ended', async () => {
      if (isAlive(server.pid)) server.signal('SIGTERM')
      return !isAlive(server.pid)
    })
    assert.deepEqual(await server.end(), { code: 143, signal: null })
    await gone(pids)
  })

  it('by SIGKILL leaves no child behind, and a cache that the next server serves from', async (context) => {
    const cache = await temporary(context)
    const first = await ServerProcess.start({ ...QUICK, models: models.dir, cache })
    await first.logs('registry.scanned')
    const inputs = addOne().inputs(rng, 1)
    assertOutputs(await infer(first.client, 'acme/quick', inputs), addOne().expected(inputs))
    const pids = childrenOf(first)
    assert.ok(pids.length >= 2)
    first.signal('SIGKILL')
    await first.end()
    await gone(pids)
    const second = await started(context, { ...QUICK, models: models.dir, cache })
    await second.logs('registry.scanned')
    const answer = await infer(second.client, 'acme/quick', inputs)
    assertOutputs(answer, addOne().expected(inputs))
    assert.equal(answer.headers['x-modelmux-cache'], 'load')
    // It may still be writing what it probed: the folder goes when it has ended.
    await second.stop()
  })
})

describe('the start of a server', () => {
  it('on a cache folder of an earlier one serves without compiling, under the same replica id', async (context) => {
    const cache = await temporary(context)
    const replicas: unknown[] = []
    for (const outcome of ['compile', 'load']) {
      const server = await started(context, { ...QUICK, models: models.dir, cache })
      await server.logs('registry.scanned')
      const inputs = addOne().inputs(rng, 2)
      const answer = await infer(server.client, 'acme/quick', inputs)
      assertOutputs(answer, addOne().expected(inputs))
      assert.equal(answer.headers['x-modelmux-cache'], outcome)
      replicas.push(answer.headers['x-modelmux-replica'])
      await server.stop()
      assert.equal(server.logged('artifact.compiled').length, outcome === 'compile' ? 1 : 0)
    }
    assert.equal(replicas[0], replicas[1])
  })

  it('on a port in use is refused with 1 and says which', async (context) => {
    const taken = createServer()
    const port = await new Promise<number>((resolve) => {
      taken.listen(0, '127.0.0.1', () => resolve((taken.address() as AddressInfo).port))
    })
    const cache = await temporary(context)
    const args = ['serve', '--models', models.dir, '--cache', cache, '--port', String(port)]
    const { code, stdout, stderr } = await runModelmux(args)
    taken.close()
    assert.deepEqual([code, stdout], [1, ''])
    assert.match(stderr, new RegExp(`^modelmux: .*${port}.*in use.*--port`, 'm'))
    assert.doesNotMatch(stderr, /\n\s+at /)
  })

  it('with a bad configuration is refused with 2 and every problem of file, environment, flags and folders', async (context) => {
    const dir = await temporary(context)
    const file = join(dir, 'config.yaml')
    const bad = {
      store: { pollMs: 'soon', colour: 'red' },
      scheduler: { maxQueuedPerModel: 99_999 },
      cache: { memoryBytes: 12 },
    }
    await writeFile(file, JSON.stringify(bad))
    const missing = join(dir, 'absent')
    const { code, stdout, stderr } = await runModelmux(
      ['serve', '--config', file, '--workers', 'many', '--models', missing, '--port', '0'],
      { env: { MODELMUX_TELEMETRY_LOG_LEVEL: 'loud', MODELMUX_STORE_SETTLEMS: '5' } },
    )
    assert.deepEqual([code, stdout], [2, ''])
    const problems = [
      /store\.pollMs.*"?soon"?.*whole number/,
      /store\.colour.*no such field/,
      /scheduler\.maxQueuedPerModel = 99999.*at most scheduler\.maxQueuedRequests/,
      /cache\.memoryBytes.*12/,
      /worker\.count.*many.*flag --workers/,
      /telemetry\.logLevel.*loud.*MODELMUX_TELEMETRY_LOG_LEVEL/,
      /MODELMUX_STORE_SETTLEMS.*did you mean MODELMUX_STORE_SETTLE_MS/,
      /store\.models.*does not exist.*--models/,
    ]
    for (const problem of problems) assert.match(stderr, problem)
    assert.equal(stderr.match(/^ +- /gm)?.length, problems.length, stderr)
  })

  it('with wrong flags is refused with 2, naming near ones', async () => {
    const { code, stderr } = await runModelmux(['serve', '--modles', 'x', 'folder', '--port'])
    assert.equal(code, 2)
    assert.match(stderr, /--modles: there is no such flag, did you mean --models\?/)
    assert.match(stderr, /'folder': expected only flags/)
    assert.match(stderr, /--port: expected a value/)
  })

  it('takes flags before environment before file, and prints the outcome on demand', async (context) => {
    const dir = await temporary(context)
    const file = join(dir, 'config.yaml')
    await writeFile(
      file,
      JSON.stringify({ server: { port: 1001, host: '::1', deadlineMs: 5 }, store: { models: './m' } }),
    )
    const env = { MODELMUX_SERVER_PORT: '1002', MODELMUX_SERVER_HOST: '127.0.0.2', MODELMUX_CONFIG: file }
    const { code, stdout } = await runModelmux(['serve', '--print-config', '--port', '1003', '--memory', '4GiB'], {
      env,
    })
    assert.equal(code, 0)
    const { server, store, cache } = parse(stdout) as Record<string, Record<string, unknown>>
    assert.deepEqual([server?.port, server?.host, server?.deadlineMs], [1003, '127.0.0.2', 5])
    assert.deepEqual([store?.models, cache?.memoryBytes], ['./m', '4GiB'])
  })
})

describe('the command line', () => {
  it('prints its help and its version', async () => {
    const { version } = (await import('../../package.json', { with: { type: 'json' } })).default
    for (const args of [['version'], ['--version'], ['serve', '--version']])
      assert.deepEqual(await runModelmux(args), { code: 0, signal: null, stdout: `${version}\n`, stderr: '' })
    const { code, stdout } = await runModelmux(['serve', '--help'])
    assert.equal(code, 0)
    for (const flag of [
      '--models PLACE',
      '--cache DIR',
      '--host',
      '--port',
      '--workers N',
      '--memory BYTES',
      '--config FILE',
    ])
      assert.ok(stdout.includes(flag), flag)
    assert.match((await runModelmux(['help'])).stdout, /modelmux serve/)
  })

  it('ends with 2 where there is no such command, or none', async () => {
    const { code, stderr } = await runModelmux(['sevre'])
    assert.equal(code, 2)
    assert.match(stderr, /no command 'sevre'/)
    assert.equal((await runModelmux([])).code, 2)
  })
})

function iterations(count: number): NamedTensor[] {
  return [{ name: 'iterations', datatype: 'INT64', shape: [1], data: BigInt64Array.of(BigInt(count)) }]
}

/** Process ids of workers and compilers. */
function childrenOf(server: ServerProcess): number[] {
  return [...server.logged('worker.up'), ...server.logged('compiler.started')].map(({ pid }) => Number(pid))
}

async function gone(pids: readonly number[]): Promise<void> {
  for (const pid of pids) await until(`process ${pid} is gone`, () => !isAlive(pid))
}

/** A server that is stopped with the test. */
async function started(context: TestContext, options: ServeOptions): Promise<ServerProcess> {
  const server = await ServerProcess.start(options)
  context.after(() => server.stop())
  return server
}

/** A folder that goes with the test. */
async function temporary(context: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'modelmux-lifecycle-'))
  context.after(() => rm(dir, { recursive: true, force: true }))
  return dir
}
