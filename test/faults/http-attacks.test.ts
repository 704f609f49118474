/** Clients that are slow, deaf, gone, greedy or mean, against a real server; after each of them it is as it was before. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, afterEach, before, describe, it } from 'node:test'
import { deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import { addOne, identity, slow } from '../../loadtest/models/special/index.ts'
import { until } from '../support/eventually.ts'
import { HealthCheck } from '../support/healthy.ts'
import { ModelsFolder } from '../support/models-folder.ts'
import { RawConnection } from '../support/raw-connection.ts'
import { ServerProcess } from '../support/server-process.ts'

const INFER = '/v2/models/acme/churn/infer'
const JSON_LENGTH = 'Inference-Header-Content-Length'
const BODY = '{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]}]}'
const MAX_BODY_BYTES = 4_500_000
const SLOW_CLIENTS = 40

let models: ModelsFolder
let server: ServerProcess
let health: HealthCheck

before(async () => {
  models = await ModelsFolder.make()
  await models.write('acme/churn', '7', addOne().model)
  await models.write('acme/echo', '1', identity('FP32').model)
  await models.write('acme/slow', '1', slow().model)
  server = await ServerProcess.start({
    models: models.dir,
    args: ['--workers', '1'],
    config: {
      store: { settleMs: 0 },
      server: {
        headersTimeoutMs: 500,
        requestTimeoutMs: 1500,
        maxBodyBytes: MAX_BODY_BYTES,
        maxJsonBytes: MAX_BODY_BYTES,
        maxHeaderBytes: 16_384,
      },
    },
  })
  await server.logs('registry.scanned')
  health = await HealthCheck.of(server, 'acme/churn', addOne())
})

afterEach(() => health.assertHealthy())

after(async () => {
  await server.stop()
  await models.removeAll()
})

function head(...lines: string[]): string {
  return `${[`POST ${INFER} HTTP/1.1`, 'Host: x', ...lines].join('\r\n')}\r\n\r\n`
}

function whole(body = BODY, ...lines: string[]): string {
  return head(`Content-Length: ${Buffer.byteLength(body)}`, ...lines) + body
}

function open(count: number): Promise<readonly RawConnection[]> {
  return Promise.all(Array.from({ length: count }, () => RawConnection.open(server.port)))
}

/** Writes a byte on each connection again and again, until the server has ended all of them. */
async function drip(connections: readonly RawConnection[]): Promise<void> {
  await until('the server has ended every slow connection', () => {
    for (const connection of connections) if (!connection.isOver) connection.write('a')
    return connections.every(({ isOver }) => isOver)
  })
}

describe('slow clients', () => {
  it('that send headers byte by byte are answered 408 and closed', async () => {
    const slow = await open(SLOW_CLIENTS)
    for (const connection of slow) connection.write('GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ')
    await health.assertAnswers()
    await drip(slow)
    for (const { received } of slow) assert.match(received, /^HTTP\/1\.1 408 [\s\S]*REQUEST_TIMEOUT/)
  })

  it('that send nothing at all are closed', async () => {
    const silent = await open(SLOW_CLIENTS)
    await until('the server has ended every silent connection', () => silent.every(({ isOver }) => isOver))
  })

  it('that send bodies byte by byte are answered 408 and closed', async () => {
    const slow = await open(SLOW_CLIENTS)
    for (const connection of slow) connection.write(head('Content-Length: 100000'))
    await health.assertAnswers()
    await drip(slow)
    for (const { received } of slow) assert.match(received, /^HTTP\/1\.1 408 [\s\S]*REQUEST_TIMEOUT/)
  })

  it('that never read what they asked for are closed, and their answers given back', async () => {
    // Answers of some 12 MB: more than the buffers of a connection take.
    const json =
      '{"inputs":[{"name":"x","shape":[1,1000000],"datatype":"FP32","parameters":{"binary_data_size":4000000}}]}'
    const lines = [`${JSON_LENGTH}: ${json.length}`, `Content-Length: ${json.length + 4_000_000}`]
    const deaf = await open(4)
    for (const { socket } of deaf) {
      socket.pause()
      socket.write(`${head(...lines).replace('churn', 'echo')}${json}`)
      socket.write(Buffer.alloc(4_000_000, 0x3e))
    }
    await until('answers wait for their clients', async () => unread(await server.metrics()) > 0)
    await until('they were given back', async () => unread(await server.metrics()) === 0)
    for (const connection of deaf) connection.destroy()
  })
})

function unread(metrics: ReadonlyMap<string, number>): number {
  return metrics.get('modelmux_http_held_bytes{kind="unread"}') ?? -1
}

describe('clients that close', () => {
  it('only their own side still get the answer', async () => {
    const connection = await RawConnection.open(server.port)
    connection.write(whole()).socket.end()
    const [answer] = await connection.untilOver()
    assert.equal(answer?.status, 200)
    assert.match(answer?.body ?? '', /"data":\[2,3,4,5\]/)
  })

  it('their side in the middle of a body are answered 400', async () => {
    const connection = await RawConnection.open(server.port)
    connection.write(head('Content-Length: 1000') + BODY).socket.end()
    const [answer] = await connection.untilOver()
    assert.equal(answer?.status, 400)
  })

  it('in the middle of anything leave nothing behind', async () => {
    const request = whole()
    for (let cut = 1; cut < request.length; cut += 7) {
      const connection = await RawConnection.open(server.port)
      connection.write(request.slice(0, cut)).destroy()
    }
  })

  it('while their requests run or wait free what they held', async () => {
    const json = '{"inputs":[{"name":"iterations","shape":[1],"datatype":"INT64","data":[3000]}]}'
    const leaving = await open(20)
    for (const connection of leaving)
      connection.write(
        `POST /v2/models/acme/slow/infer HTTP/1.1\r\nHost: x\r\nContent-Length: ${json.length}\r\n\r\n${json}`,
      )
    await until('they wait', async () => ((await server.metrics()).get('modelmux_requests_in_flight') ?? 0) > 15)
    for (const connection of leaving) connection.destroy()
  })
})

describe('clients that send ahead', () => {
  it('are answered in order, whatever became of each', async () => {
    const connection = await RawConnection.open(server.port)
    const count = 100
    const requests = Array.from({ length: count }, (_, i) => {
      const id = `X-Request-Id: ${i}`
      return i % 3 === 0 ? `GET /v2/nothing HTTP/1.1\r\nHost: x\r\n${id}\r\n\r\n` : whole(i % 3 === 1 ? BODY : '{}', id)
    })
    connection.write(requests.join(''))
    const answers = await connection.answers(count)
    assert.deepEqual(
      answers.map(({ headers, status }) => `${headers.get('x-request-id')} ${status}`),
      requests.map((_, i) => `${i} ${[404, 200, 400][i % 3]}`),
    )
    connection.destroy()
  })

  it('more than a hundred requests get the first of their answers, and may ask again for the rest', async () => {
    const connection = await RawConnection.open(server.port)
    const answers = await connection.write(whole().repeat(1000)).untilOver()
    assert.ok(answers.length >= 100 && answers.length < 1000, `${answers.length} answers`)
    assert.equal(answers.at(-1)?.headers.get('connection'), 'close')
    for (const { status } of answers) assert.ok(status === 200 || status === 503)
    connection.destroy()
  })

  it('thousands of requests and never read are held back, and closed', async () => {
    const { socket } = await RawConnection.open(server.port)
    socket.pause()
    const flood = 'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(1000)
    let isClosed = false
    socket.once('close', () => {
      isClosed = true
    })
    await until('the server has closed the connection', () => {
      if (socket.writableLength < 2 ** 20) socket.write(flood)
      return isClosed
    })
  })
})

describe('headers', () => {
  it('larger than the limit are answered 431, one or many', async () => {
    for (const lines of [[`X: ${'y'.repeat(20_000)}`], Array.from({ length: 2000 }, (_, i) => `X-${i}: yyyyy`)]) {
      const connection = await RawConnection.open(server.port)
      const [answer] = await connection.write(head(...lines)).untilOver()
      assert.equal(answer?.status, 431)
      connection.destroy()
    }
  })

  it('are all looked at, also the last of thousands', async () => {
    const many = Array.from({ length: 2500 }, () => 'a:b')
    const connection = await RawConnection.open(server.port)
    connection.write(whole(BODY, ...many, 'serve-multiplexed-model-id: acme/echo'))
    const [answer] = await connection.answers(1)
    assert.equal(answer?.status, 400)
    assert.match(answer?.body ?? '', /BAD_MODEL_REF/)
    connection.destroy()
  })

  it('that name the model are one header in every spelling, and may come once', async () => {
    const spellings = ['serve_multiplexed_model_id', 'SERVE-MULTIPLEXED-MODEL-ID', 'Serve_Multiplexed-Model_Id']
    for (const one of spellings) {
      const { status } = await server.client.post('/v2/infer', BODY, one, 'acme/churn')
      assert.equal(status, 200, one)
      for (const other of spellings) {
        const answer = await server.client.post('/v2/infer', BODY, one, 'acme/churn', other, 'acme/churn')
        assert.deepEqual([answer.status, answer.json.code], [400, 'BAD_MODEL_REF'], `${one}, ${other}`)
      }
    }
    // Hop-by-hop lists, and headers for proxies, mean nothing here.
    const tricky = await server.client.post(
      '/v2/infer',
      BODY,
      'connection',
      'serve-multiplexed-model-id, keep-alive',
      'serve-multiplexed-model-id',
      'acme/churn',
    )
    assert.equal(tricky.status, 200)
    const forwarded = await server.client.post(
      INFER,
      BODY,
      'x-original-url',
      '/metrics',
      'x-rewrite-url',
      '/v2',
      'x-http-method-override',
      'GET',
    )
    assert.equal(forwarded.status, 200)
  })
})

describe('compressed bodies', () => {
  const refused: readonly (readonly [what: string, encoding: string, body: Buffer, status: number, tells: RegExp])[] = [
    ['an unknown encoding', 'br', gzipSync(BODY), 415, /'br'/],
    ['one encoding upon another', 'gzip, gzip', gzipSync(gzipSync(BODY)), 415, /gzip, gzip/],
    ['a list of an encoding and none', 'gzip, identity', gzipSync(BODY), 415, /gzip, identity/],
    ['gzip that is cut off', 'gzip', gzipSync(BODY).subarray(0, -5), 400, /not gzip/],
    ['gzip whose checksum is wrong', 'gzip', flipped(gzipSync(BODY), -6), 400, /not gzip/],
    [
      'gzip with other bytes behind',
      'gzip',
      Buffer.concat([gzipSync(BODY), Buffer.from('more and more')]),
      400,
      /not gzip/,
    ],
    [
      'gzip with zeros and other bytes behind',
      'gzip',
      Buffer.concat([gzipSync(BODY), Buffer.from('\0more')]),
      400,
      /not gzip/,
    ],
    [
      'deflate with other bytes behind',
      'deflate',
      Buffer.concat([deflateSync(BODY), Buffer.from('more')]),
      400,
      /not deflate/,
    ],
    ['deflate without its zlib wrapping', 'deflate', deflateRawSync(BODY), 400, /not deflate/],
    ['deflate with a dictionary', 'deflate', deflateSync(BODY, { dictionary: Buffer.from(BODY) }), 400, /not deflate/],
    ['no bytes at all', 'gzip', Buffer.alloc(0), 400, /not gzip/],
  ]
  for (const [what, encoding, body, status, tells] of refused) {
    it(`are refused with ${status}: ${what}`, async () => {
      const answer = await server.client.post(INFER, body, 'content-encoding', encoding)
      assert.equal(answer.status, status, answer.text)
      assert.match(String(answer.json.error), tells)
      if (status === 415) assert.equal(answer.headers['accept-encoding'], 'gzip, deflate, identity')
    })
  }

  it('may be several gzip members, as the format has it', async () => {
    const members = Buffer.concat([gzipSync(BODY.slice(0, 20)), gzipSync(BODY.slice(20))])
    assert.equal((await server.client.post(INFER, members, 'content-encoding', 'gzip')).status, 200)
  })

  it('that unfold a thousand times are refused at the limit, at a cost in proportion to their own size', async () => {
    const bomb = gzipSync(Buffer.alloc(250 * MAX_BODY_BYTES, ' '))
    const before = await peakBytes()
    const answers = await Promise.all(
      Array.from({ length: 12 }, () => server.client.post(INFER, bomb, 'content-encoding', 'gzip', JSON_LENGTH, '2')),
    )
    for (const answer of answers) assert.ok(answer.status === 413 || answer.status === 503, answer.text)
    assert.ok(answers.some(({ status }) => status === 413))
    // Not one of them came near what it would have become.
    assert.ok(
      (await peakBytes()) - before < 100 * bomb.length,
      `${(await peakBytes()) - before} bytes for ${bomb.length}`,
    )
  })
})

/** The most memory that the server process ever had. */
async function peakBytes(): Promise<number> {
  const status = await readFile(`/proc/${server.pid}/status`, 'utf8')
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) * 1024
}

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes)
  copy[copy.length + at] = (copy.at(at) ?? 0) ^ 1
  return copy
}

describe('JSON', () => {
  const deep = '['.repeat(100_000) + ']'.repeat(100_000)
  const bodies: readonly (readonly [what: string, body: string, status: number])[] = [
    [
      'whose keys are those of a prototype',
      `{"__proto__":{"inputs":[]},"constructor":{"prototype":{}},${BODY.slice(1)}`,
      200,
    ],
    ['that gives its inputs as a prototype', `{"__proto__":${BODY}}`, 400],
    [
      'that gives a parameter as a prototype',
      BODY.replace('"data"', '"parameters":{"__proto__":{"binary_data_size":16}},"data"'),
      200,
    ],
    ['whose tensor is named like a member of objects', BODY.replace('"x"', '"toString"'), 400],
    ['whose datatype is named like a member of objects', BODY.replace('FP32', 'constructor'), 400],
    ['with a hundred thousand lists in each other', BODY.replace('[1,2,3,4]', deep), 400],
    ['with a hundred thousand lists for a shape', BODY.replace('[1,4]', deep), 400],
    ['of nothing but lists', deep, 400],
    ['of nothing but the beginnings of lists', '['.repeat(1_000_000), 400],
    ['of nothing but the beginnings of objects', '{"a":'.repeat(200_000), 400],
    ['with the same key twice, of which the last counts', BODY.replace('{"inputs"', '{"inputs":[],"inputs"'), 200],
    ['with a shape of more elements than there are numbers', BODY.replace('[1,4]', '[9007199254740991,4]'), 400],
    [
      'with a shape of zeros and a huge size',
      BODY.replace('[1,4]', '[0,9007199254740991]').replace('[1,2,3,4]', '[]'),
      400,
    ],
  ]
  for (const [what, body, status] of bodies) {
    it(`${status === 200 ? 'is read' : 'is refused'}: ${what}`, async () => {
      const answer = await server.client.post(INFER, body)
      assert.equal(answer.status, status, answer.text.slice(0, 500))
      if (status === 200) assert.match(answer.text, /"data":\[2,3,4,5\]/)
      else assert.equal(typeof answer.json.error, 'string')
    })
  }

  for (const value of [
    '-1',
    '-0',
    '+5',
    'NaN',
    '1e3',
    '0x10',
    '5.0',
    '99999999999999999999',
    '9007199254740993',
    ' ',
    '1000',
  ])
    it(`whose length is said to be '${value}' is refused`, async () => {
      const answer = await server.client.post(INFER, BODY, JSON_LENGTH, value)
      assert.deepEqual([answer.status, answer.json.code], [400, 'BAD_REQUEST'], answer.text)
    })
})

describe('orders', () => {
  it('with keys of a prototype mean no more than without', async () => {
    const answer = await server.client.post('/v2/repository/index', '{"__proto__":{"ready":true},"constructor":1}')
    assert.equal(answer.status, 200)
    assert.equal((JSON.parse(answer.text) as unknown[]).length, 3)
  })

  it('are expanded and refused as other bodies are', async () => {
    const send = (body: Buffer, encoding: string) =>
      server.client.post('/v2/repository/index', body, 'content-encoding', encoding)
    assert.equal((await send(gzipSync('{"ready":true}'), 'gzip')).status, 200)
    assert.equal((await send(gzipSync('{}'), 'br')).status, 415)
    assert.equal((await send(gzipSync(Buffer.alloc(2 ** 20, ' ')), 'gzip')).status, 413)
    assert.equal((await send(Buffer.from('{}'), 'deflate')).status, 400)
  })
})
