/** Files behind MLflow's proxy, and at addresses that it signs, when the server means ill or does badly. */
import assert from 'node:assert/strict'
import type { IncomingMessage, RequestListener } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { afterEach, describe, it } from 'node:test'
import { mlflowReader } from '../../src/app/mlflow-access.ts'
import { MlflowArtifacts } from '../../src/clients/mlflow-artifacts.ts'
import { SignedReads } from '../../src/clients/signed-reads.ts'
import { proxyLocation } from '../../src/domain/artifact-place.ts'
import { type Clock, systemClock } from '../../src/lib/clock.ts'
import { ReadFailure } from '../../src/store/object-reader.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { answersWith, fails, MlflowRig } from '../support/mlflow-rig.ts'

const never = new AbortController().signal
const rig = new MlflowRig()

afterEach(() => rig.close())

interface Listed {
  readonly path: string
  readonly is_dir?: boolean
  readonly file_size?: number | string
}

/** A proxy with these files in its folders. */
async function proxyOf(
  folders: (path: string) => readonly Listed[],
  { clock = systemClock }: { readonly clock?: Clock } = {},
) {
  const { uri, asked } = await rig.listen(({ url = '' }, response) => {
    const path = new URL(url, 'http://x').searchParams.get('path') ?? ''
    response.end(JSON.stringify({ files: folders(path) }))
  })
  const { http } = rig.connect(uri)
  return { artifacts: new MlflowArtifacts(http, { server: uri, allowed: [] }, clock), asked }
}

describe('a list of artifacts', () => {
  it('holds the files of all folders, empty ones and sizes in text included', async () => {
    const { artifacts } = await proxyOf((path) =>
      path === 'm'
        ? [{ path: 'MLmodel', file_size: '12' }, { path: 'empty' }, { path: 'sub', is_dir: true }]
        : path === 'm/sub'
          ? [{ path: 'a b.data', is_dir: false, file_size: 3 }]
          : [],
    )
    assert.deepEqual(await artifacts.list('m'), [
      { path: 'MLmodel', bytes: 12 },
      { path: 'empty', bytes: 0 },
      { path: 'sub/a b.data', bytes: 3 },
    ])
  })

  it('is refused for a name that could lead elsewhere', async () => {
    for (const path of ['..', '.', '', '/etc/passwd', 'a/b', '../x', 'a\\b', 'a\0b', 'a\nb', '%2e%2e', 'x'.repeat(256)])
      for (const isFolder of [true, false]) {
        const { artifacts } = await proxyOf(() => [{ path, is_dir: isFolder }])
        await fails(artifacts.list('m'), 'refused', /a name in it is refused/)
      }
  })

  it('is refused when it has no end: folders in folders, folders beside folders, files upon files', async () => {
    const deep = await proxyOf(() => [{ path: 'sub', is_dir: true }])
    await fails(deep.artifacts.list('m'), 'refused', /deeper than 8 folders/)
    const wide = await proxyOf((path) =>
      path === 'm' ? Array.from({ length: 500 }, (_, index) => ({ path: `d${index}`, is_dir: true })) : [],
    )
    await fails(wide.artifacts.list('m'), 'refused', /more than 200 folders/)
    assert.equal(wide.asked.length, 200)
    const many = await proxyOf(() => Array.from({ length: 10_001 }, (_, index) => ({ path: `f${index}` })))
    await fails(many.artifacts.list('m'), 'refused', /more than 10000 files/)
  })

  it('is refused when it is no list', async () => {
    for (const body of [
      '[]',
      '{"files": 1}',
      '{"files": [{"path": 1}]}',
      '{"files": [{"path": "a", "file_size": -1}]}',
    ]) {
      const { uri } = await rig.listen(answersWith([200, body]))
      const { http } = rig.connect(uri)
      const artifacts = new MlflowArtifacts(http, { server: uri, allowed: [] }, systemClock)
      await fails(artifacts.list('m'), 'refused', /not as it should be/)
    }
  })
})

const CONTENT = Buffer.from('the bytes of a model')
const FILE = { path: 'model.onnx', bytes: CONTENT.length, location: proxyLocation('1/m/model.onnx') }
const PROXIED = 'GET /api/2.0/mlflow-artifacts/artifacts/1/m/model.onnx'
const SIGNING = 'GET /api/2.0/mlflow-artifacts/presigned/1/m/model.onnx'

interface SigningScene {
  /** What the server answers when it is asked for a signed address. */
  readonly signing: (storeUri: string) => { readonly status?: number; readonly body: string | Buffer }
  readonly store?: RequestListener
  /** What is allowed beside the server. */
  readonly allowed?: (storeUri: string) => readonly string[]
  readonly clock?: Clock
}

/** An MLflow that hands out addresses on a store beside it, and the reader of a store of ours. */
async function signingScene({
  signing,
  store = () => undefined,
  allowed = (uri) => [uri],
  clock = systemClock,
}: SigningScene) {
  const there = await rig.listen(store)
  const { uri, asked } = await rig.listen(({ url = '' }, response) => {
    const { status = 200, body } = url.includes('/presigned/') ? signing(there.uri) : { body: CONTENT }
    response.writeHead(status).end(body)
  })
  const rules = { server: uri, allowed: allowed(there.uri) }
  const { http } = rig.connect(uri, { credentials: { kind: 'bearer', token: 'secret' } })
  const limits = { connectMs: 5000, answerMs: 5000, idleMs: 5000, maxConnections: 4, clock: systemClock }
  const signedReads = new SignedReads({ rules, ...limits })
  rig.atClose(() => signedReads.close())
  const reader = mlflowReader(new MlflowArtifacts(http, rules, clock), signedReads)
  const read = async (): Promise<Buffer> => await buffer(await reader.read(FILE, 0, FILE.bytes, never))
  return { read, asked, storeAsked: there.asked }
}

function signed(url: string, headers?: Record<string, string>): { readonly body: string } {
  return { body: JSON.stringify({ url, headers, file_size: CONTENT.length }) }
}

describe('a file at a signed address', () => {
  it('is read there, with a fresh address each time, the headers it wants and no credentials of ours', async () => {
    let addresses = 0
    const seen: IncomingMessage['headers'][] = []
    const { read, asked, storeAsked } = await signingScene({
      signing: (uri) => signed(`${uri}/bucket/key?X-Amz-Signature=${++addresses}`, { 'X-Amz-Meta-A': 'b' }),
      store: ({ headers }, response) => {
        seen.push(headers)
        const range = `bytes 0-${CONTENT.length - 1}/${CONTENT.length}`
        response.writeHead(206, { 'content-range': range }).end(CONTENT)
      },
    })
    for (let reads = 0; reads < 2; reads++) assert.deepEqual(await read(), CONTENT)
    assert.deepEqual(asked, [SIGNING, SIGNING])
    assert.deepEqual(storeAsked, ['GET /bucket/key?X-Amz-Signature=1', 'GET /bucket/key?X-Amz-Signature=2'])
    assert.equal(seen[0]?.authorization, undefined)
    assert.equal(seen[0]?.['x-amz-meta-a'], 'b')
    assert.equal(seen[0]?.range, `bytes=0-${CONTENT.length - 1}`)
  })

  it('comes from the proxy where the server signs nothing, which it is not asked again for a while', async () => {
    for (const [status, body] of [
      [501, '{"error_code": "NOT_IMPLEMENTED"}'],
      [404, '{"error_code": "ENDPOINT_NOT_FOUND"}'],
      [404, '<html>'],
    ] as const) {
      const clock = new ManualClock()
      const { read, asked } = await signingScene({ signing: () => ({ status, body }), clock })
      for (let reads = 0; reads < 2; reads++) assert.deepEqual(await read(), CONTENT)
      assert.deepEqual(asked, [SIGNING, PROXIED, PROXIED])
      clock.tick(600_000)
      await read()
      assert.deepEqual(asked.slice(3), [SIGNING, PROXIED])
    }
  })

  it('comes from the proxy for once when the server fails to sign', async () => {
    let isBroken = true
    const { read, asked } = await signingScene({
      signing: (uri) => (isBroken ? { status: 403, body: '' } : signed(`${uri}/key`)),
      store: answersWith([200, CONTENT.toString()]),
    })
    assert.deepEqual(await read(), CONTENT)
    isBroken = false
    assert.deepEqual(await read(), CONTENT)
    assert.deepEqual(asked, [SIGNING, PROXIED, SIGNING])
  })

  it('is never asked for on a host that is not listed, or with headers that are not for a store', async () => {
    const cases: readonly SigningScene[] = [
      { signing: (uri) => signed(`${uri}/key`), allowed: () => [] },
      { signing: (uri) => signed(uri.replace('127.0.0.1', 'localhost')) },
      { signing: () => signed('http://169.254.169.254/latest/meta-data/') },
      { signing: () => signed('file:///etc/passwd') },
      { signing: () => signed('no URL') },
      { signing: (uri) => signed(`${uri}/key`, { Host: 'internal' }) },
      { signing: (uri) => signed(`${uri}/key`, { 'Transfer-Encoding': 'chunked' }) },
      { signing: () => ({ body: '{"url": 7}' }) },
    ]
    for (const scene of cases) {
      const { read, asked, storeAsked } = await signingScene(scene)
      assert.deepEqual(await read(), CONTENT)
      assert.deepEqual([asked, storeAsked], [[SIGNING, PROXIED], []])
    }
  })

  it('is not read from a metadata service, even when that is listed', async () => {
    const { read, asked } = await signingScene({
      signing: () => signed('http://169.254.169.254/latest/meta-data/'),
      allowed: () => ['http://169.254.169.254'],
    })
    assert.deepEqual(await read(), CONTENT)
    assert.deepEqual(asked, [SIGNING, PROXIED])
  })

  it('is not read where it redirects to', async () => {
    const target = await rig.listen(answersWith([200, 'secret']))
    const { read, asked } = await signingScene({
      signing: (uri) => signed(`${uri}/key`),
      store: answersWith([302, '', { location: target.uri }]),
    })
    assert.deepEqual(await read(), CONTENT)
    assert.deepEqual([asked, target.asked], [[SIGNING, PROXIED], []])
  })

  it('comes from the proxy when the store refuses the address, and fails as the store does otherwise', async () => {
    const refused = await signingScene({
      signing: (uri) => signed(`${uri}/key?sig=secret`),
      store: answersWith([403, 'expired']),
    })
    assert.deepEqual(await refused.read(), CONTENT)
    for (const [status, kind] of [
      [404, 'missing'],
      [503, 'unavailable'],
      [429, 'slow-down'],
    ] as const) {
      const { read } = await signingScene({
        signing: (uri) => signed(`${uri}/key?sig=secret`),
        store: answersWith([status, 'secret']),
      })
      await assert.rejects(read(), (error: unknown) => {
        assert.ok(error instanceof ReadFailure, String(error))
        assert.deepEqual([error.kind, error.message], [kind, `the store of the artifacts answered ${status}`])
        return true
      })
    }
  })
})

describe('a file from the proxy', () => {
  async function proxied(listener: RequestListener) {
    const { uri } = await rig.listen((request, response) =>
      request.url?.includes('/presigned/') === true ? void response.writeHead(501).end() : listener(request, response),
    )
    const { http } = rig.connect(uri)
    const artifacts = new MlflowArtifacts(http, { server: uri, allowed: [] }, systemClock)
    return async () => await buffer(await artifacts.read('1/m/model.onnx', CONTENT.length))
  }

  it('is another one when the server says another size', async () => {
    const read = await proxied((_request, response) => void response.end(Buffer.concat([CONTENT, CONTENT])))
    await fails(read(), 'conflict', /40 bytes there, not one of 20/)
  })

  it('is not whole when fewer bytes come, or more, without a word of how many there are', async () => {
    const short = await proxied((_request, response) => {
      response.write(CONTENT.subarray(5))
      response.end()
    })
    await fails(short(), 'unavailable', /sent 15 of 20 bytes/)
    const long = await proxied((_request, response) => {
      response.write(CONTENT)
      response.end('!')
    })
    await fails(long(), 'unavailable', /more than the 20 bytes/)
  })

  it('is not there yet when the connection breaks in the middle', async () => {
    const read = await proxied((_request, response) => {
      response.writeHead(200, { 'content-length': CONTENT.length })
      response.write(CONTENT.subarray(5), () => response.destroy())
    })
    await fails(read(), 'unavailable', /does not answer/)
  })
})
