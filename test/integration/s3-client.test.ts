/** The S3 client against a real server, and against one that breaks its word. */
import assert from 'node:assert/strict'
import type { RequestListener, Server } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { S3 } from '../../src/clients/s3.ts'
import type { S3ErrorKind } from '../../src/clients/s3-error.ts'
import { S3Error } from '../../src/clients/s3-error.ts'
import { type Clock, systemClock } from '../../src/lib/clock.ts'
import { until } from '../support/eventually.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { noS3Server, S3Server } from '../support/s3-server.ts'

const BUCKET = 'models'
const VERSIONED = 'models-kept'

function clientOf(endpoint: string, clock: Clock = systemClock): S3 {
  return new S3({
    endpoint,
    region: null,
    pathStyle: true,
    attempts: 1,
    connectTimeoutMs: 5000,
    answerTimeoutMs: 20_000,
    clock,
    maxConnections: 8,
  })
}

async function textOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = []
  for await (const chunk of body) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}

async function failure(work: Promise<unknown>, kind: S3ErrorKind): Promise<S3Error> {
  const error: unknown = await work.then(
    () => assert.fail('it worked'),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof S3Error, String(error))
  assert.equal(error.kind, kind, error.message)
  return error
}

describe('the S3 client and a real server', { skip: noS3Server }, () => {
  let server: S3Server
  let s3: S3

  before(async () => {
    server = await S3Server.start({ buckets: [BUCKET], versioned: [VERSIONED] })
    Object.assign(process.env, server.env)
    s3 = clientOf(server.endpoint)
  })
  after(async () => {
    s3.close()
    await server.stop()
  })

  it('reads ranges of the object that was named, and tells when it was replaced', async () => {
    const { etag } = await server.put(BUCKET, 'range', 'before it was replaced')
    const name = { bucket: BUCKET, key: 'range', etag }
    assert.equal(await textOf(await s3.read(name, 0, 6)), 'before')
    assert.equal(await textOf(await s3.read(name, 14, 22)), 'replaced')
    await server.put(BUCKET, 'range', 'after it was replaced!')
    await failure(s3.read(name, 0, 6), 'replaced')
    assert.equal(await textOf(await s3.read({ bucket: BUCKET, key: 'range' }, 0, 5)), 'after')
  })

  it('holds on to a version of an object, whatever came after it', async () => {
    const first = await server.put(VERSIONED, 'kept', 'first')
    await server.put(VERSIONED, 'kept', 'second')
    assert.equal(
      await textOf(await s3.read({ bucket: VERSIONED, key: 'kept', versionId: first.versionId }, 0, 5)),
      'first',
    )
    assert.equal(
      (await s3.head({ bucket: VERSIONED, key: 'kept', versionId: first.versionId })).versionId,
      first.versionId,
    )
    await server.remove(VERSIONED, 'kept')
    await failure(s3.read({ bucket: VERSIONED, key: 'kept' }, 0, 5), 'not-found')
  })

  it('says in a word what is wrong, and nothing that the server wrote', async () => {
    await server.put(BUCKET, 'short', '12345')
    await failure(s3.read({ bucket: BUCKET, key: 'none' }, 0, 5), 'not-found')
    await failure(s3.head({ bucket: BUCKET, key: 'none' }), 'not-found')
    await failure(s3.read({ bucket: 'no-such-bucket', key: 'none' }, 0, 5), 'not-found')
    await failure(s3.read({ bucket: BUCKET, key: 'short' }, 5, 9), 'range')
    await failure(s3.read({ bucket: BUCKET, key: 'short' }, 0, 9), 'refused')
    process.env.AWS_SECRET_ACCESS_KEY = 'a-wrong-one'
    const stranger = clientOf(server.endpoint)
    const error = await failure(stranger.list({ bucket: BUCKET, prefix: '', limit: 1 }), 'forbidden')
    Object.assign(process.env, server.env)
    stranger.close()
    assert.match(error.message, /^S3 answered 403 SignatureDoesNotMatch, request [A-Z0-9]+$/)
    assert.equal(error.cause, undefined)
    assert.deepEqual(Object.keys(error).toSorted(), ['kind', 'name'])
  })

  it('says where credentials and a region come from when there are none', async () => {
    for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']) delete process.env[name]
    const nobody = clientOf(server.endpoint)
    assert.match((await failure(nobody.head({ bucket: BUCKET, key: 'x' }), 'refused')).message, /AWS_ACCESS_KEY_ID/)
    nobody.close()
    Object.assign(process.env, server.env)
  })

  it('lists keys of any characters in the order of their bytes, page by page', async () => {
    const keys = ['a b+c', 'a%2Fb', 'a-b/1', 'a/1', 'é😀', '?&=']
    for (const key of keys) await server.put(BUCKET, `list/${key}`, key)
    const found: string[] = []
    let from: string | undefined
    do {
      const page = await s3.list({ bucket: BUCKET, prefix: 'list/', from, limit: 3 })
      assert.ok(page.objects.length <= 3)
      found.push(...page.objects.map(({ key }) => key))
      from = page.next
    } while (from !== undefined)
    const sorted = keys.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    assert.deepEqual(
      found,
      sorted.map((key) => `list/${key}`),
    )
  })

  it('knows the digest that the publisher noted, and the checksum that S3 has of the whole object', async () => {
    const noted = 'ab'.repeat(32)
    await server.put(BUCKET, 'noted', 'x', { metadata: { sha256: noted }, checksum: 'CRC64NVME' })
    const facts = await s3.head({ bucket: BUCKET, key: 'noted' })
    assert.equal(facts.sha256, noted)
    assert.match(facts.crc64nvme ?? '', /^[A-Za-z0-9+/]{11}=$/)
    await server.put(BUCKET, 'summed', 'hello', { checksum: 'SHA256' })
    assert.equal(
      (await s3.head({ bucket: BUCKET, key: 'summed' })).sha256,
      '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824',
    )
  })

  it('reads a small text, and none that is larger than it may be', async () => {
    const { etag } = await server.put(BUCKET, 'text', '{"champion":"7"}')
    const name = { bucket: BUCKET, key: 'text', etag }
    assert.equal(await s3.readText(name, 16, 100), '{"champion":"7"}')
    await failure(s3.readText(name, 16, 15), 'refused')
  })

  it('ends with the reason of a signal, before the answer and in the middle of a body', async () => {
    const reason = new Error('nobody waits')
    await assert.rejects(s3.head({ bucket: BUCKET, key: 'x' }, AbortSignal.abort(reason)), reason)
    await server.put(BUCKET, 'large', Buffer.alloc(4 * 2 ** 20))
    const controller = new AbortController()
    const body = await s3.read({ bucket: BUCKET, key: 'large' }, 0, 4 * 2 ** 20, controller.signal)
    await assert.rejects(async () => {
      for await (const chunk of body) if (chunk.length > 0) controller.abort(reason)
    }, reason)
  })

  it('finds a server by its name', async () => {
    await server.put(BUCKET, 'named', 'x')
    const named = clientOf(`http://localhost:${server.port}`)
    assert.equal((await named.head({ bucket: BUCKET, key: 'named' })).bytes, 1)
    named.close()
  })

  it('tells that nobody answers, and that a name leads nowhere', async () => {
    await server.halt()
    assert.match((await failure(s3.head({ bucket: BUCKET, key: 'x' }), 'unavailable')).message, /ECONN/)
    await server.resume()
    const lost = clientOf('http://no-such-host.invalid')
    assert.match((await failure(lost.head({ bucket: BUCKET, key: 'x' }), 'unavailable')).message, /ENOTFOUND|EAI_AGAIN/)
    lost.close()
  })
})

describe('the S3 client and a server that breaks its word', () => {
  const answers: RequestListener[] = []
  let server: Server
  let s3: S3

  before(async () => {
    Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' })
    server = createServer((request, response) => answers.shift()?.(request, response))
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve)
    })
    s3 = clientOf(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  })
  after(() => {
    s3.close()
    server.close()
    server.closeAllConnections()
  })

  const name = { bucket: BUCKET, key: 'x', etag: '"1"' }
  const head = { 'content-range': 'bytes 0-9/10', 'content-length': '10', etag: '"1"' }

  it('takes no broken body for the whole', async () => {
    answers.push((_, response) => {
      response.writeHead(206, head)
      response.write('12345', () => response.destroy())
    })
    await failure(textOf(await s3.read(name, 0, 10)), 'unavailable')
    answers.push((_, response) => {
      response.writeHead(206, head)
      response.write('12345', () => response.socket?.resetAndDestroy())
    })
    await failure(textOf(await s3.read(name, 0, 10)), 'unavailable')
  })

  it('does not wait for ever for the rest of a small text', async () => {
    const clock = new ManualClock()
    const patient = clientOf(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, clock)
    answers.push((_, response) => void response.writeHead(206, head).write('12345'))
    const work = failure(patient.readText(name, 10, 100), 'unavailable')
    await until('the answer has begun', () => clock.pendingTimers === 1)
    await clock.advance(20_000)
    await work
    assert.equal(clock.pendingTimers, 0)
    patient.close()
  })

  it('reads keys that XML could not write, and wants to know how a list goes on', async () => {
    const listing = (rest: string) =>
      `<ListBucketResult><EncodingType>url</EncodingType>${rest}<Contents><Key>a/%01+b%2Bc</Key><Size>3</Size><ETag>"1"</ETag></Contents></ListBucketResult>`
    answers.push((_, response) => response.end(listing('<IsTruncated>false</IsTruncated>')))
    const page = await s3.list({ bucket: BUCKET, prefix: 'a/', limit: 10 })
    assert.deepEqual(page.objects, [{ key: 'a/\u0001 b+c', bytes: 3, etag: '"1"', modifiedMs: 0 }])
    answers.push((_, response) => response.end(listing('<IsTruncated>true</IsTruncated>')))
    await failure(s3.list({ bucket: BUCKET, prefix: 'a/', limit: 10 }), 'unavailable')
  })

  it('lets no connection that breaks before the first read end the process', async () => {
    answers.push((_, response) => {
      response.writeHead(206, head)
      response.flushHeaders()
      response.socket?.resetAndDestroy()
    })
    await failure(
      s3.read(name, 0, 10).then(async (body) => {
        await new Promise((resolve) => {
          setImmediate(resolve)
        })
        return textOf(body)
      }),
      'unavailable',
    )
  })

  it('notices a server that knows neither ranges nor If-Match', async () => {
    answers.push((_, response) => response.writeHead(200, { 'content-length': '20', etag: '"1"' }).end('x'.repeat(20)))
    await failure(s3.read(name, 10, 20), 'refused')
    answers.push((_, response) => response.writeHead(206, { ...head, etag: '"2"' }).end('1234567890'))
    await failure(s3.read(name, 0, 10), 'replaced')
  })

  it('tells a server that wants fewer requests from one that fails', async () => {
    for (const [status, kind] of [
      [503, 'unavailable'],
      [500, 'unavailable'],
      [429, 'slow-down'],
      [301, 'refused'],
    ] as const) {
      answers.push((_, response) => response.writeHead(status).end())
      await failure(s3.head(name), kind)
    }
    answers.push((_, response) =>
      response
        .writeHead(503, { 'content-type': 'application/xml' })
        .end('<Error><Code>SlowDown</Code><Message>secret</Message></Error>'),
    )
    assert.doesNotMatch((await failure(s3.read(name, 0, 10), 'slow-down')).message, /secret/)
  })
})
