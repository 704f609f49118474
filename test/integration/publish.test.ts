/** `modelmux publish` into a real S3 server, and a server that serves what came of it. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, describe, it } from 'node:test'
import { Rng } from '../../loadtest/models/index.ts'
import { SIDECARS, sidecar } from '../../loadtest/models/special/index.ts'
import { publishToS3 } from '../../src/cli/publish-s3.ts'
import { S3 } from '../../src/clients/s3.ts'
import { S3Writer } from '../../src/clients/s3-writer.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { until } from '../support/eventually.ts'
import { assertOutputs, infer } from '../support/infer-client.ts'
import { ModelsFolder } from '../support/models-folder.ts'
import { noS3Server, S3Server } from '../support/s3-server.ts'
import { type Finished, runModelmux, ServerProcess } from '../support/server-process.ts'

const BUCKET = 'models'
const MiB = 2 ** 20

interface Report {
  readonly uploadedBytes: number
  readonly files: ReadonlyArray<{ readonly path: string; readonly sha256: string; readonly isUploaded: boolean }>
  readonly removed: readonly string[]
  readonly movedAliases: readonly string[]
}

describe('publishing to S3', { skip: noS3Server }, () => {
  let s3: S3Server
  let dir: string
  let place: string
  let key: string
  let tests = 0

  before(async () => {
    s3 = await S3Server.start({ buckets: [BUCKET] })
  })
  after(() => s3.stop())
  beforeEach(async (context) => {
    dir = await mkdtemp(join(tmpdir(), 'modelmux-publish-'))
    key = `test-${++tests}/acme/churn`
    place = `s3://${BUCKET}/${key}`
    if ('after' in context) context.after(() => rm(dir, { recursive: true, force: true }))
  })

  const settings = () => ({ MODELMUX_STORE_S3_ENDPOINT: s3.endpoint, MODELMUX_STORE_S3_PATH_STYLE: 'true', ...s3.env })

  function publish(...args: string[]): Promise<Finished> {
    return runModelmux(['publish', ...args], { env: settings() })
  }

  async function published(...args: string[]): Promise<Report> {
    const { code, stdout, stderr } = await publish(...args, '--json')
    assert.equal(code, 0, stderr)
    return JSON.parse(stdout) as Report
  }

  async function write(files: Readonly<Record<string, string | Buffer>>): Promise<void> {
    await rm(dir, { recursive: true, force: true })
    for (const [path, content] of Object.entries(files)) {
      await mkdir(join(dir, path, '..'), { recursive: true })
      await writeFile(join(dir, path), content)
    }
  }

  it('makes a folder a version that is served, held against the digests it brought', async (context) => {
    const folder = await ModelsFolder.make()
    context.after(() => folder.removeAll())
    await folder.write('any', '1', sidecar().model, SIDECARS[0])
    const done = await publish(folder.path('any', '1'), `${place}/7`, '--alias', 'champion')
    assert.equal(done.code, 0, done.stderr)
    assert.match(done.stdout, /^published s3:\/\/models\/.*\/acme\/churn\/7\/: 2 of 2 files uploaded/)
    assert.match(done.stdout, /^alias champion names version 7$/m)
    assert.equal(done.stderr, '')
    const server = await ServerProcess.start({
      models: `s3://${BUCKET}/test-${tests}`,
      args: ['--workers', '1'],
      env: { ...settings(), MODELMUX_STORE_SETTLE_MS: '0' },
    })
    context.after(() => server.stop())
    await server.logs('registry.scanned')
    const inputs = sidecar().inputs(new Rng('publish'), 2)
    const path = '/v2/models/acme%2Fchurn@champion/infer'
    assertOutputs(await infer(server.client, 'acme/churn', inputs, { path }), sidecar().expected(inputs))
    assert.equal((await server.logs('source.fetched')).integrity, 'sha256')
  })

  it('sends nothing that is there, and only what is missing after it was interrupted', async () => {
    await write({ 'model.onnx': 'graph', 'weights.bin': 'weights', 'more/part.bin': 'part' })
    assert.equal((await published(dir, `${place}/1`)).uploadedBytes, 16)
    const again = await published(dir, `${place}/1`)
    assert.deepEqual([again.uploadedBytes, again.files.map(({ isUploaded }) => isUploaded)], [0, [false, false, false]])
    assert.match((await publish(dir, `${place}/1`)).stdout, /was there already, 3 files/)
    for (const path of ['model.onnx', 'more/part.bin']) await s3.remove(BUCKET, `${key}/1/${path}`)
    assert.deepEqual(
      (await published(dir, `${place}/1`)).files.filter(({ isUploaded }) => isUploaded).map(({ path }) => path),
      ['model.onnx', 'more/part.bin'],
    )
  })

  it('replaces a version of other files only when told to, and then wholly', async () => {
    await write({ 'model.onnx': 'graph', 'old.bin': 'old' })
    await published(dir, `${place}/1`)
    await write({ 'model.onnx': 'GRAPH' })
    const refused = await publish(dir, `${place}/1`)
    assert.equal(refused.code, 3)
    assert.match(refused.stderr, /there is a version 1 with other files \(model\.onnx, old\.bin\)/)
    assert.equal(await s3.text(BUCKET, `${key}/1/model.onnx`), 'graph')
    assert.deepEqual((await published(dir, `${place}/1`, '--replace')).removed, ['old.bin'])
    assert.equal(await s3.text(BUCKET, `${key}/1/model.onnx`), 'GRAPH')
    assert.equal(await s3.text(BUCKET, `${key}/1/old.bin`), undefined)
  })

  it('moves the aliases it is given and leaves the others as they are', async () => {
    await write({ 'model.onnx': 'graph' })
    await s3.put(BUCKET, `${key}/aliases.json`, '{"stable": 3, "next": "4"}')
    assert.deepEqual((await published(dir, `${place}/5`, '--alias', 'next', '--alias', 'new')).movedAliases, [
      'next',
      'new',
    ])
    assert.deepEqual(JSON.parse((await s3.text(BUCKET, `${key}/aliases.json`)) ?? ''), {
      stable: 3,
      next: '5',
      new: '5',
    })
    assert.deepEqual((await published(dir, `${place}/5`, '--alias', 'next')).movedAliases, [])
    await s3.put(BUCKET, `${key}/aliases.json`, 'not JSON')
    const broken = await publish(dir, `${place}/6`, '--alias', 'next')
    assert.equal(broken.code, 1)
    assert.equal(await s3.text(BUCKET, `${key}/aliases.json`), 'not JSON')
  })

  it('sends large files in parts, which the server puts together and checks', async () => {
    const weights = randomBytes(40 * MiB)
    await write({ 'model.onnx': 'graph', 'weights.bin': weights })
    const { files } = await published(dir, `${place}/1`)
    Object.assign(process.env, s3.env)
    const reader = new S3({ ...limits(), endpoint: s3.endpoint })
    const facts = await reader.head({ bucket: BUCKET, key: `${key}/1/weights.bin` })
    assert.deepEqual([facts.bytes, facts.sha256], [40 * MiB, files[1]?.sha256])
    assert.match(facts.etag, /-3"$/)
    const chunks: Uint8Array[] = []
    for await (const chunk of await reader.read({ bucket: BUCKET, key: `${key}/1/weights.bin` }, 0, 40 * MiB))
      chunks.push(chunk)
    assert.ok(weights.equals(Buffer.concat(chunks)))
    reader.close()
  })

  it('leaves no version and no open upload behind when it is interrupted', async () => {
    await write({ 'model.onnx': 'graph', 'weights.bin': randomBytes(80 * MiB) })
    Object.assign(process.env, s3.env)
    const options = { ...limits(), endpoint: s3.endpoint }
    const [reader, writer] = [new S3(options), new S3Writer(options)]
    const interrupt = new AbortController()
    const reason = new Error('interrupted')
    const publishing = publishToS3(
      reader,
      writer,
      {
        dir,
        bucket: BUCKET,
        prefix: `${key}/1/`,
        version: '1',
        aliases: [],
        replaces: false,
        onProgress: ({ step }) => step === 'upload' && interrupt.abort(reason),
      },
      interrupt.signal,
    )
    await assert.rejects(publishing, reason)
    assert.equal(await s3.text(BUCKET, `${key}/1/model.onnx`), undefined)
    assert.equal(await s3.openUploads(BUCKET), 0)
    reader.close()
    writer.close()
  })

  it('ends in good order when its terminal says so', async () => {
    await write({ 'model.onnx': 'graph', 'weights.bin': randomBytes(120 * MiB) })
    const child = spawn(process.execPath, ['src/main.ts', 'publish', dir, `${place}/1`], {
      env: { ...process.env, ...settings() },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let told = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      told += text
    })
    const ended = once(child, 'close')
    await until('it uploads', async () => (await s3.openUploads(BUCKET)) === 1)
    child.kill('SIGINT')
    assert.deepEqual(await ended, [1, null])
    assert.match(told, /^modelmux: interrupted/)
    assert.equal(await s3.openUploads(BUCKET), 0)
  })

  it('says with its exit code what a build has to know', async () => {
    for (const args of [
      [],
      [dir],
      [dir, place],
      [dir, 's3://x'],
      [dir, `${place}/1`, '--what'],
      [dir, `${place}/1`, '--alias', 'a/b'],
    ])
      assert.equal((await publish(...args)).code, 2, args.join(' '))
    assert.equal((await publish('--help')).code, 0)
    await write({ 'readme.md': 'no model' })
    const empty = await publish(dir, `${place}/1`)
    assert.deepEqual([empty.code, /there is no model\.onnx/.test(empty.stderr)], [1, true])
    await write({ 'model.onnx': 'graph' })
    const lost = await publish(dir, 's3://no-such-bucket/churn/1')
    assert.deepEqual([lost.code, /404 NoSuchBucket/.test(lost.stderr)], [1, true])
  })

  function limits() {
    return {
      region: null,
      pathStyle: true,
      attempts: 1,
      connectTimeoutMs: 5000,
      answerTimeoutMs: 60_000,
      clock: systemClock,
      maxConnections: 8,
    }
  }
})
