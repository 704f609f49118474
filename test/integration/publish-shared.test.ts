/** `modelmux publish --share-blobs` into a real S3 server, and a server that fetches only what it does not have. */
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, describe, it } from 'node:test'
import { modelClass, Rng } from '../../loadtest/models/index.ts'
import { SIDECARS, sidecar } from '../../loadtest/models/special/index.ts'
import { splitInThread } from '../../src/artifact/split-thread.ts'
import { publishToS3 } from '../../src/cli/publish-s3.ts'
import { S3 } from '../../src/clients/s3.ts'
import { S3Writer } from '../../src/clients/s3-writer.ts'
import { parseS3Folder } from '../../src/domain/s3-uri.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { assertOutputs, infer } from '../support/infer-client.ts'
import { ModelsFolder } from '../support/models-folder.ts'
import { noS3Server, S3Server } from '../support/s3-server.ts'
import { type Finished, runModelmux, ServerProcess } from '../support/server-process.ts'

const BUCKET = 'models'
/** A fine-tune with a known backbone: of the bytes, up and down. */
const MAX_SHARE = 0.15
const MANIFEST = 'modelmux.blobs.json'

interface Entry {
  readonly path: string
  readonly bytes: number
  readonly sha256: string
  readonly isUploaded: boolean
}

interface Report {
  readonly bytes: number
  readonly uploadedBytes: number
  readonly files: readonly Entry[]
  readonly shared: readonly Entry[]
}

describe('publishing with shared tensors', { skip: noS3Server }, () => {
  let s3: S3Server
  let folder: ModelsFolder
  let root: string
  let prefix: string
  let tests = 0
  const zoo = modelClass('S')
  const recipe = (customer: number) => ({ customer, family: 'head', seed: 4 }) as const

  before(async () => {
    s3 = await S3Server.start({ buckets: [BUCKET] })
    folder = await ModelsFolder.make()
    for (const customer of [1, 2, 3]) await folder.write(`c${customer}`, '1', zoo.build(recipe(customer)))
  })
  after(async () => {
    await s3.stop()
    await folder.removeAll()
  })
  beforeEach(() => {
    prefix = `test-${++tests}/`
    root = `s3://${BUCKET}/${prefix}`
  })

  const settings = () => ({ MODELMUX_STORE_S3_ENDPOINT: s3.endpoint, MODELMUX_STORE_S3_PATH_STYLE: 'true', ...s3.env })

  function publish(...args: string[]): Promise<Finished> {
    return runModelmux(['publish', ...args, '--share-blobs'], { env: settings() })
  }

  async function published(...args: string[]): Promise<Report> {
    const { code, stdout, stderr } = await publish(...args, '--root', root, '--json')
    assert.equal(code, 0, stderr)
    return JSON.parse(stdout) as Report
  }

  function serve(cache?: string): Promise<ServerProcess> {
    return ServerProcess.start({
      models: root,
      ...(cache === undefined ? {} : { cache }),
      args: ['--workers', '1'],
      env: { ...settings(), MODELMUX_STORE_SETTLE_MS: '0' },
    })
  }

  async function assertServes(server: ServerProcess, name: string, customer: number): Promise<number> {
    const inputs = zoo.sampleInputs(new Rng('shared', name), 2)
    assertOutputs(await infer(server.client, name, inputs), zoo.expected(recipe(customer), inputs), zoo.tolerance)
    const fetched = await server.logs('source.fetched', ({ key }) => String(key).startsWith(`${name}:`))
    assert.equal(fetched.integrity, 'sha256')
    return Number(fetched.bytes) - Number(fetched.copiedBytes)
  }

  it('moves of a fine-tune with a known backbone what differs, up and down', async (context) => {
    const first = await published(folder.path('c1', '1'), `${root}acme/churn/1`)
    assert.equal(first.uploadedBytes, first.bytes)
    const second = await published(folder.path('c2', '1'), `${root}other/churn/1`)
    assert.ok(second.uploadedBytes <= MAX_SHARE * second.bytes, `${second.uploadedBytes} of ${second.bytes}`)
    assert.deepEqual((await s3.keys(BUCKET, `${prefix}other/`)).length, 2)
    const server = await serve()
    context.after(() => server.stop())
    await server.logs('registry.scanned')
    assert.equal((await server.metrics()).get('modelmux_models_registered'), 2)
    assert.equal(await assertServes(server, 'acme/churn', 1), first.bytes - manifestOf(first).bytes)
    const down = await assertServes(server, 'other/churn', 2)
    assert.ok(down <= MAX_SHARE * second.bytes, `${down} of ${second.bytes}`)
  })

  it('sends nothing twice, and brings back what the bucket lost', async () => {
    const first = await published(folder.path('c1', '1'), `${root}churn/1`)
    assert.equal((await published(folder.path('c1', '1'), `${root}churn/1`)).uploadedBytes, 0)
    const lost = first.shared[0]
    assert.ok(lost !== undefined)
    await s3.remove(BUCKET, `${prefix}.blobs/${lost.sha256.slice(0, 2)}/${lost.sha256}`)
    const again = await published(folder.path('c1', '1'), `${root}churn/1`)
    assert.equal(again.uploadedBytes, lost.bytes)
    assert.deepEqual(
      again.shared.filter(({ isUploaded }) => isUploaded).map(({ sha256 }) => sha256),
      [lost.sha256],
    )
  })

  it('lets two publish fine-tunes of one base at the same moment', async (context) => {
    const both = await Promise.all(
      [1, 2].map((customer) => published(folder.path(`c${customer}`, '1'), `${root}at-once-${customer}/1`)),
    )
    assert.equal(both.length, 2)
    const server = await serve()
    context.after(() => server.stop())
    await server.logs('registry.scanned')
    for (const customer of [1, 2]) await assertServes(server, `at-once-${customer}`, customer)
  })

  it('leaves no version behind when it is interrupted, and goes on from there', async () => {
    const options = { region: null, pathStyle: true, attempts: 1, connectTimeoutMs: 5000, answerTimeoutMs: 60_000 }
    const client = { ...options, endpoint: s3.endpoint, clock: systemClock, maxConnections: 8 }
    Object.assign(process.env, s3.env)
    const [reader, writer] = [new S3(client), new S3Writer(client)]
    const interrupt = new AbortController()
    const reason = new Error('interrupted')
    const share = { root: parseS3Folder(root), split: splitInThread, maxNodes: 1000, extraDomains: [] }
    const publishing = publishToS3(
      reader,
      writer,
      {
        dir: folder.path('c1', '1'),
        bucket: BUCKET,
        prefix: `${prefix}halfway/1/`,
        version: '1',
        aliases: [],
        replaces: false,
        share,
        onProgress: ({ step }) => step === 'upload' && interrupt.abort(reason),
      },
      interrupt.signal,
    )
    await assert.rejects(publishing, reason)
    reader.close()
    writer.close()
    assert.deepEqual(await s3.keys(BUCKET, `${prefix}halfway/`), [])
    const again = await published(folder.path('c1', '1'), `${root}halfway/1`)
    assert.ok(again.files.every(({ isUploaded }) => isUploaded))
  })

  it('takes tensors out of data files too, and other big files with them', async (context) => {
    await folder.write('external', '1', sidecar().model, SIDECARS[0])
    await folder.writeFile('external', '1', 'tokenizer.json', 'x'.repeat(70_000))
    await folder.writeFile('external', '1', 'notes.txt', 'small')
    const report = await published(folder.path('external', '1'), `${root}external/1`)
    assert.deepEqual(
      report.files.map(({ path }) => path),
      ['model.onnx', MANIFEST, 'notes.txt'],
    )
    assert.ok(report.shared.some(({ path }) => path === 'tokenizer.json'))
    const server = await serve()
    context.after(() => server.stop())
    await server.logs('registry.scanned')
    const inputs = sidecar().inputs(new Rng('external'), 2)
    assertOutputs(await infer(server.client, 'external', inputs), sidecar().expected(inputs))
  })

  it('fetches a tensor again where the copy to take it from is another by now', async (context) => {
    const { shared } = await published(folder.path('c1', '1'), `${root}one/1`)
    await published(folder.path('c2', '1'), `${root}two/1`)
    const cache = await mkdtemp(join(tmpdir(), 'modelmux-shared-'))
    const server = await serve(cache)
    context.after(async () => {
      await server.stop()
      await rm(cache, { recursive: true, force: true })
    })
    await server.logs('registry.scanned')
    await assertServes(server, 'one', 1)
    const largest = shared.toSorted((a, b) => b.bytes - a.bytes)[0]
    assert.ok(largest !== undefined)
    const link = join(cache, 'staging/shared', largest.sha256)
    await rm(link)
    await writeFile(link, Buffer.alloc(largest.bytes))
    assert.ok((await assertServes(server, 'two', 2)) >= largest.bytes)
  })

  it('serves no version whose manifest was written by somebody who means harm', async (context) => {
    const { files, shared } = await published(folder.path('c1', '1'), `${root}good/1`)
    const model = await s3.bytes(BUCKET, `${prefix}good/1/model.onnx`)
    const [file] = shared
    assert.ok(file !== undefined && files.length === 2)
    const other = shared[1]?.sha256 ?? ''
    const manifests: Readonly<Record<string, unknown>> = {
      escape: { format: 1, files: [{ ...file, path: '../../etc/cron.d/x' }] },
      absolute: { format: 1, files: [{ ...file, path: '/tmp/x' }] },
      twice: { format: 1, files: [file, file] },
      model: { format: 1, files: [{ ...file, path: 'model.onnx' }] },
      digest: { format: 1, files: [{ ...file, sha256: '../../good/1/model.onnx' }] },
      negative: { format: 1, files: [{ ...file, bytes: -1 }] },
      endless: { format: 1, files: [{ ...file, bytes: Number.MAX_SAFE_INTEGER }] },
      swapped: { format: 1, files: shared.map((one) => ({ ...one, sha256: other })) },
      unknown: { format: 1, files: [{ ...file, sha256: 'ab'.repeat(32) }] },
      future: { format: 2, files: [] },
      text: 'not an object',
    }
    for (const [name, manifest] of Object.entries(manifests)) {
      await s3.put(BUCKET, `${prefix}${name}/1/${MANIFEST}`, JSON.stringify(manifest))
      await s3.put(BUCKET, `${prefix}${name}/1/model.onnx`, model)
    }
    const server = await serve()
    context.after(() => server.stop())
    await server.logs('registry.scanned')
    const codes = new Map<string, unknown>()
    const inputs = zoo.sampleInputs(new Rng('harm'), 1)
    for (const name of Object.keys(manifests)) codes.set(name, (await infer(server.client, name, inputs)).json.code)
    assert.deepEqual(Object.fromEntries(codes), {
      ...Object.fromEntries(Object.keys(manifests).map((name) => [name, 'ARTIFACT_INVALID'])),
      endless: 'CAPACITY_EXHAUSTED',
      swapped: 'ARTIFACT_CORRUPT',
      unknown: 'ARTIFACT_UNREACHABLE',
    })
    await assertServes(server, 'good', 1)
  })

  it('says what it cannot share, and wants to know of which models folder', async (context) => {
    const at = folder.path('c1', '1')
    const unsaid = await publish(at, `${root}churn/1`)
    assert.deepEqual([unsaid.code, /--root/.test(unsaid.stderr)], [2, true])
    for (const wrong of ['s3://elsewhere/', `${root}churn/`, '/tmp'])
      assert.equal((await publish(at, `${root}churn/1`, '--root', wrong)).code, 2, wrong)
    const configured = await runModelmux(['publish', at, `${root}churn/1`, '--share-blobs'], {
      env: { ...settings(), MODELMUX_STORE_MODELS: root },
    })
    assert.equal(configured.code, 0, configured.stderr)
    const dir = await mkdtemp(join(tmpdir(), 'modelmux-no-model-'))
    context.after(() => rm(dir, { recursive: true, force: true }))
    await writeFile(join(dir, 'model.onnx'), 'this is no model')
    const broken = await publish(dir, `${root}churn/2`, '--root', root)
    assert.deepEqual([broken.code, /not a whole ONNX model|not an ONNX model/.test(broken.stderr)], [1, true])
    await writeFile(join(dir, MANIFEST), '{}')
    assert.equal((await publish(dir, `${root}churn/2`, '--root', root)).code, 1)
    assert.equal((await s3.keys(BUCKET, `${prefix}churn/2`)).length, 0)
  })

  function manifestOf({ files }: Report): Entry {
    const manifest = files.find(({ path }) => path === MANIFEST)
    assert.ok(manifest !== undefined)
    return manifest
  }
})
