/** `modelmux purge`: what a server and a publisher left of a customer, in a cache folder and in a real S3 server. */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, describe, it } from 'node:test'
import { modelClass, Rng } from '../../loadtest/models/index.ts'
import { until } from '../support/eventually.ts'
import { assertOutputs, infer } from '../support/infer-client.ts'
import { ModelsFolder } from '../support/models-folder.ts'
import { noS3Server, S3Server } from '../support/s3-server.ts'
import { runModelmux, ServerProcess } from '../support/server-process.ts'

const BUCKET = 'models'
const VERSIONED = 'models-kept'

interface Removed {
  readonly count: number
  readonly bytes: number
}

interface Report {
  readonly cache: {
    readonly artifacts: Removed
    readonly blobs: Removed
    readonly staged: Removed
    readonly sources: number
    readonly kept: number
    readonly remembered: readonly string[]
    readonly quarantined: number
    readonly journal: number
  }
  readonly fleet: { readonly artifacts: number; readonly objects: Removed; readonly blobs: Removed } | null
  readonly store: { readonly models: readonly string[]; readonly objects: Removed; readonly blobs: Removed } | null
}

const zoo = modelClass('S')
/** The first shares nothing with the others, which have one base. */
const recipe = (customer: number) => ({ customer, family: customer === 1 ? 'full' : 'head', seed: 5 }) as const
/** Of every model that is served, with the customer whose weights it has. */
const MODELS: Readonly<Record<string, number>> = { 'acme/churn': 1, 'acme/churn-2': 2, 'acme/twin': 4, 'other/twin': 4 }

async function purged(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Report> {
  const { code, stdout, stderr } = await runModelmux(['purge', ...args, '--json'], { env })
  assert.equal(code, 0, stderr)
  return JSON.parse(stdout) as Report
}

describe('purging what a server keeps', { skip: noS3Server }, () => {
  let s3: S3Server
  let folder: ModelsFolder
  let cache: string
  let prefix: string
  let tests = 0

  before(async () => {
    s3 = await S3Server.start({ buckets: [BUCKET], versioned: [VERSIONED] })
    folder = await ModelsFolder.make()
    for (const customer of [1, 2, 3, 4]) await folder.write(`c${customer}`, '1', zoo.build(recipe(customer)))
    for (const [name, customer] of Object.entries(MODELS)) await publish(name, customer, served)
  })
  after(async () => {
    await s3.stop()
    await folder.removeAll()
  })
  beforeEach(async (context) => {
    prefix = `test-${++tests}/`
    cache = await mkdtemp(join(tmpdir(), 'modelmux-purge-'))
    if ('after' in context) context.after(() => rm(cache, { recursive: true, force: true }))
  })

  const settings = () => ({ MODELMUX_STORE_S3_ENDPOINT: s3.endpoint, MODELMUX_STORE_S3_PATH_STYLE: 'true', ...s3.env })
  const root = (bucket = BUCKET) => `s3://${bucket}/${prefix}`
  const served = `s3://${BUCKET}/served/`

  async function publish(name: string, customer: number, models = root(), version = '1'): Promise<void> {
    const place = `${models}${name}/${version}`
    const args = ['publish', folder.path(`c${customer}`, '1'), place, '--share-blobs', '--root', models]
    const { code, stderr } = await runModelmux([...args, '--alias', 'champion'], { env: settings() })
    assert.equal(code, 0, stderr)
  }

  async function serveAll(more: Readonly<Record<string, string>> = {}): Promise<ServerProcess> {
    const env = { ...settings(), MODELMUX_STORE_SETTLE_MS: '0', ...more }
    const server = await ServerProcess.start({ models: served, cache, args: ['--workers', '1'], env })
    await server.logs('registry.scanned')
    for (const [name, customer] of Object.entries(MODELS)) {
      const inputs = zoo.sampleInputs(new Rng('purge', name), 1)
      assertOutputs(await infer(server.client, name, inputs), zoo.expected(recipe(customer), inputs))
    }
    return server
  }

  /** Without what says whose the folder is. */
  async function listed(): Promise<string[]> {
    return (await readdir(cache, { recursive: true })).filter((path) => !path.startsWith('owner')).toSorted()
  }

  /** Everything in the cache folder that has the text in it, by file name or content. */
  async function traces(text: string): Promise<string[]> {
    const entries = await readdir(cache, { recursive: true, withFileTypes: true })
    const found: string[] = []
    for (const entry of entries.filter((one) => one.isFile())) {
      const path = join(entry.parentPath, entry.name)
      if (path.includes(text) || (await readFile(path)).includes(text)) found.push(path.slice(cache.length + 1))
    }
    return found
  }

  it('removes one model and leaves no trace of it, nor touches another', async () => {
    await (await serveAll()).stop()
    const name = 'acme/churn'
    const before = await listed()
    const planned = await purged([name, '--cache', cache, '--dry-run'])
    assert.deepEqual(await listed(), before)
    const done = await purged([name, '--cache', cache, '--yes'])
    assert.deepEqual(done.cache, planned.cache)
    assert.deepEqual([done.cache.artifacts.count, done.cache.staged.count, done.cache.sources], [1, 1, 1])
    assert.deepEqual([done.cache.remembered, done.cache.kept], [[name], 0])
    assert.ok(done.cache.journal > 0 && done.cache.blobs.count > 0 && done.store === null)
    for (const path of await traces(name)) {
      const text = await readFile(join(cache, path), 'utf8')
      assert.deepEqual(text.match(/acme\/churn(?!-2)/g), null, path)
    }
    assert.ok((await traces('acme/churn-2')).length > 0)
    assert.deepEqual(await purged([name, '--cache', cache, '--yes']).then((again) => again.cache), {
      artifacts: { count: 0, bytes: 0 },
      blobs: { count: 0, bytes: 0 },
      staged: { count: 0, bytes: 0 },
      sources: 0,
      kept: 0,
      remembered: [],
      quarantined: 0,
      journal: 0,
    })
    // The others are served from what is still here, with S3 gone.
    await s3.halt()
    try {
      const env = { ...settings(), MODELMUX_STORE_SETTLE_MS: '0' }
      const server = await ServerProcess.start({ models: served, cache, args: ['--workers', '1'], env })
      try {
        const inputs = zoo.sampleInputs(new Rng('after'), 1)
        for (const other of ['acme/churn-2', 'other/twin']) {
          const answer = await infer(server.client, other, inputs)
          assertOutputs(answer, zoo.expected(recipe(MODELS[other] ?? 0), inputs))
        }
        assert.equal((await infer(server.client, name, inputs)).status, 503)
      } finally {
        await server.stop()
      }
    } finally {
      await s3.resume()
    }
  })

  it('removes a tenant, but not what another tenant has the same bytes of', async () => {
    await (await serveAll()).stop()
    const { cache: done } = await purged(['acme', '--tenant', '--cache', cache, '--yes'])
    assert.deepEqual([done.artifacts.count, done.staged.count, done.kept], [2, 3, 1])
    assert.deepEqual(done.remembered.toSorted(), ['acme/churn', 'acme/churn-2', 'acme/twin'])
    assert.deepEqual(await traces('acme'), [])
    assert.deepEqual((await purged(['acme', '--cache', cache, '--yes'])).cache.artifacts.count, 0)
  })

  it('takes out of the fleet cache what was compiled of the model and of no other', async () => {
    const fleet = `${prefix}fleet/`
    const shared = { MODELMUX_ARTIFACT_FLEET_CACHE_PLACE: `s3://${BUCKET}/${fleet}` }
    const server = await serveAll(shared)
    const manifests = async () => (await s3.keys(BUCKET, fleet)).filter((key) => key.endsWith('/manifest.json'))
    // The two twins are one.
    await until('all is shared', async () => (await manifests()).length === 3)
    await server.stop()
    const before = await s3.keys(BUCKET, fleet)
    const args = ['acme/churn', '--cache', cache]
    const planned = await purged([...args, '--dry-run'], { ...settings(), ...shared })
    assert.deepEqual(await s3.keys(BUCKET, fleet), before)
    const done = await purged([...args, '--yes'], { ...settings(), ...shared })
    assert.deepEqual(done, { ...planned, isDryRun: false })
    assert.ok(done.fleet !== null && done.fleet.blobs.count > 0)
    assert.deepEqual([done.fleet.artifacts, (await manifests()).length], [1, 2])
    const gone = done.fleet.objects.count + done.fleet.blobs.count
    assert.equal((await s3.keys(BUCKET, fleet)).length, before.length - gone)
    const twin = await purged(['acme/twin', '--cache', cache, '--yes'], { ...settings(), ...shared })
    assert.deepEqual([twin.fleet?.artifacts, twin.cache.kept], [0, 1])
  })

  it('waits for nobody: with a server on the folder it removes nothing', async () => {
    const server = await serveAll()
    // Before the folder is removed: hooks run in the order in which they were set.
    try {
      const refused = await runModelmux(['purge', 'acme/churn', '--cache', cache, '--yes'], { env: settings() })
      assert.deepEqual([refused.code, /a server is using the cache folder/.test(refused.stderr)], [3, true])
      const inputs = zoo.sampleInputs(new Rng('still'), 1)
      assertOutputs(await infer(server.client, 'acme/churn', inputs), zoo.expected(recipe(1), inputs))
    } finally {
      await server.stop()
    }
  })

  it('removes what was published too when told to, with the tensors that no other version has', async () => {
    await publish('acme/churn', 1)
    await publish('acme/churn', 2, root(), '2')
    await publish('acme/churn-2', 3)
    await s3.put(BUCKET, `${prefix}acme/churn.tar.gz`, 'an archive')
    await s3.put(BUCKET, `${prefix}acme/churn/readme.txt`, 'of nobody')
    const before = (await s3.keys(BUCKET, `${prefix}.blobs/`)).length
    const flags = ['acme/churn', '--cache', cache, '--models', root(), '--store']
    const planned = await purged([...flags, '--dry-run'], settings())
    assert.equal((await s3.keys(BUCKET, `${prefix}acme/churn/`)).length, 6)
    const { store } = await purged([...flags, '--yes'], settings())
    assert.deepEqual(store, planned.store)
    // Two versions of two files, the aliases, the archive; a head each.
    assert.deepEqual([store?.models, store?.objects.count], [['acme/churn'], 6])
    assert.deepEqual(await s3.keys(BUCKET, `${prefix}acme/churn/`), [`${prefix}acme/churn/readme.txt`])
    assert.equal((await s3.keys(BUCKET, `${prefix}.blobs/`)).length, before - (store?.blobs.count ?? 0))
    assert.deepEqual((await s3.keys(BUCKET, `${prefix}acme/churn-2/`)).length, 3)
    const env = { ...settings(), MODELMUX_STORE_SETTLE_MS: '0' }
    const server = await ServerProcess.start({ models: root(), args: ['--workers', '1'], env })
    try {
      await server.logs('registry.scanned')
      const inputs = zoo.sampleInputs(new Rng('left'), 1)
      assertOutputs(await infer(server.client, 'acme/churn-2', inputs), zoo.expected(recipe(3), inputs))
    } finally {
      await server.stop()
    }
  })

  it('removes old versions of objects with the new ones', async () => {
    await publish('acme/churn', 1, root(VERSIONED))
    await s3.put(VERSIONED, `${prefix}acme/churn/1/model.onnx`, 'replaced')
    await s3.remove(VERSIONED, `${prefix}acme/churn/1/model.onnx`)
    assert.ok((await s3.kept(VERSIONED, prefix)).length >= 7)
    const flags = ['acme', '--tenant', '--cache', cache, '--models', root(VERSIONED), '--store', '--yes']
    const { store } = await purged(flags, settings())
    assert.ok((store?.blobs.count ?? 0) > 0)
    assert.deepEqual(await s3.kept(VERSIONED, prefix), [])
  })

  it('says with its exit code what a script has to know', async () => {
    for (const args of [
      [],
      ['acme/churn'],
      ['acme/churn', 'acme/fraud', '--yes'],
      ['../etc', '--yes'],
      ['acme/churn', '--what', '--yes'],
      ['acme/churn', '--store', '--models', './models', '--yes'],
    ])
      assert.equal((await runModelmux(['purge', ...args], { env: settings() })).code, 2, args.join(' '))
    assert.equal((await runModelmux(['purge', '--help'], {})).code, 0)
    const nothing = await runModelmux(['purge', 'acme/churn', '--yes', '--cache', join(cache, 'no-such-folder')], {})
    assert.deepEqual([nothing.code, nothing.stdout], [0, 'nothing is kept of acme/churn\n'])
    const lost = ['acme/churn', '--yes', '--cache', cache, '--store', '--models', 's3://no-such-bucket/']
    const failed = await runModelmux(['purge', ...lost], { env: settings() })
    assert.deepEqual([failed.code, /NoSuchBucket/.test(failed.stderr)], [1, true])
  })
})
