/** `modelmux compile`: into a cache folder, into the bucket of a fleet, beside a server, and when something is in the way. */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, describe, it } from 'node:test'
import type { WriteStream } from 'node:tty'
import { compileCommand } from '../../src/app/compile-command.ts'
import type { CompileReport } from '../../src/cli/compile-report.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { Customers } from '../support/customers.ts'
import { noS3Server, S3Server } from '../support/s3-server.ts'
import { runModelmux, ServerProcess } from '../support/server-process.ts'

const BUCKET = 'fleet'
const MODELS = 20

describe('modelmux compile', () => {
  let customers: Customers
  let root: string
  let caches = 0
  let cache = ''

  before(async () => {
    customers = await Customers.make(MODELS)
    root = await mkdtemp(join(tmpdir(), 'modelmux-compile-'))
  })
  after(async () => {
    await customers.remove()
    await rm(root, { recursive: true, force: true })
  })
  beforeEach(() => {
    cache = join(root, String(++caches))
  })

  function compile(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    return runModelmux(['compile', '--models', customers.folder.dir, '--cache', cache, ...args], { env })
  }

  async function report(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const { code, stdout, stderr } = await compile([...args, '--json'], env)
    assert.equal(stderr, '')
    const told = JSON.parse(stdout) as CompileReport
    const count = (outcome: string) => told.models.filter((one) => one.outcome === outcome).length
    return { ...told, code, compiled: count('compiled'), there: count('there'), fetched: count('fetched') }
  }

  it('compiles what is named, says what it cannot, and passes over what is there', async () => {
    const [one, two] = [customers.nameOf(1), customers.nameOf(2)]
    const first = await report([`${one}:1`, 'nobody/knows'])
    assert.deepEqual([first.code, first.compiled], [1, 1])
    assert.deepEqual(
      first.models.filter(({ outcome }) => outcome === 'failed').map(({ model, code }) => [model, code]),
      [['nobody/knows', 'MODEL_NOT_FOUND']],
    )
    const second = await report([one, two])
    assert.deepEqual([second.code, second.compiled, second.there], [0, 1, 1])
    const third = await compile([one, two])
    assert.equal(third.code, 0)
    assert.equal(third.stdout, 'compiled 0, taken over 0, there already 2, failed 0\n')
  })

  it('is not stopped by a model that cannot be compiled, and ends with 1', async () => {
    const { folder } = customers
    await folder.writeFile('broken', '1', 'model.onnx', 'this is no model')
    try {
      const { code, stdout } = await compile(['broken', customers.nameOf(3)])
      assert.equal(code, 1)
      assert.match(stdout, /^compiled 1, taken over 0, there already 0, failed 1$/m)
      assert.match(stdout, /^failed broken:1: ARTIFACT_INVALID: /m)
    } finally {
      await folder.remove('broken')
    }
  })

  it('ends with 2 when it is not told what to do', async () => {
    for (const args of [[], ['--all', 'churn'], ['--no-such-flag'], ['a/b/c/d/e/f']])
      assert.equal((await compile(args)).code, 2, args.join(' '))
    assert.equal((await compile(['--all', '--models', join(root, 'not-there')])).code, 2)
    assert.match((await runModelmux(['compile', '--help'])).stdout, /^modelmux compile --all/)
  })

  it('leaves what is done when it is interrupted, and goes on from there', async () => {
    const names = [1, 2, 3, 4, 5, 6].map((one) => customers.nameOf(one))
    const interrupt = new AbortController()
    let written = ''
    // The line that shows how far it is: the first model is done.
    const errors = {
      isTTY: true,
      columns: 80,
      write: (text: string) => {
        written += text
        interrupt.abort('SIGINT')
      },
    } as unknown as WriteStream
    const streams = {
      output: { write: () => undefined },
      errors,
      facts: { isUnicode: false, isDumb: false, wantsColours: false },
      clock: systemClock,
    }
    const flags = ['--models', customers.folder.dir, '--cache', cache]
    assert.equal(await compileCommand([...names, ...flags], interrupt.signal, streams), 1)
    assert.match(written, /interrupted; the next run goes on where this one was/)
    const left = (await readdir(cache)).filter((name) => name.endsWith('.json')).length
    assert.ok(left >= 1 && left < names.length, `${left} are done`)
    const next = await report(names)
    assert.deepEqual([next.code, next.there], [0, left])
  })

  it('has a server that owns the cache folder do the work', async () => {
    const server = await ServerProcess.start({
      models: customers.folder.dir,
      cache,
      config: { artifact: { probe: false } },
      args: ['--workers', '1'],
    })
    try {
      await server.logs('registry.scanned')
      const { code, compiled } = await report([customers.nameOf(7)])
      assert.deepEqual([code, compiled], [0, 1])
      await server.logs('artifact.compiled')
      assert.equal(server.logged('artifact.compiled').length, 1)
      assert.equal(await customers.askRight(server, 7), 'load')
    } finally {
      await server.stop()
    }
  })

  it('fills the bucket of a fleet, after which nobody compiles', { skip: noS3Server }, async () => {
    const s3 = await S3Server.start({ buckets: [BUCKET] })
    const env = {
      ...s3.env,
      MODELMUX_STORE_S3_ENDPOINT: s3.endpoint,
      MODELMUX_STORE_S3_PATH_STYLE: 'true',
      MODELMUX_ARTIFACT_FLEET_CACHE_PLACE: `s3://${BUCKET}/compiled`,
      MODELMUX_ARTIFACT_FLEET_CACHE_LOOKUP_MS: '60000',
      MODELMUX_ARTIFACT_FLEET_CACHE_DEADLINE_MS: '60000',
    }
    try {
      const first = await report(['--all'], env)
      assert.deepEqual([first.code, first.compiled, first.notSent], [0, MODELS, 0])
      assert.ok(first.sentBytes > 0)
      const again = await report(['--all'], env)
      assert.deepEqual([again.code, again.there, again.sentBytes], [0, MODELS, 0])
      const server = await ServerProcess.start({
        models: customers.folder.dir,
        config: { artifact: { probe: false } },
        args: ['--workers', '1'],
        env,
      })
      try {
        await server.logs('registry.scanned')
        for (let one = 1; one <= MODELS; one++) assert.equal(await customers.askRight(server, one), 'load')
        assert.equal((await server.metrics()).get('modelmux_compiles_total{outcome="compiled"}'), undefined)
      } finally {
        await server.stop()
      }
      await s3.halt()
      // What it could not send is no success.
      cache = `${cache}-other`
      const without = await report([customers.nameOf(1)], { ...env, MODELMUX_ARTIFACT_FLEET_CACHE_RETRY_MS: '100' })
      assert.deepEqual([without.code, without.compiled, without.notSent], [1, 1, 1])
    } finally {
      await s3.stop()
    }
  })
})
