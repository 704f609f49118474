/**
 * Requests that two readers could take apart differently. Each is followed at once by a canary, a second request of its own: either the
 * whole connection is refused and the canary goes unanswered and undone, or both are read exactly as what they are.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { until } from '../support/eventually.ts'
import type { Harness } from '../support/http-harness.ts'
import { startHttp } from '../support/http-harness.ts'
import { RawConnection } from '../support/raw-connection.ts'

const INFER = '/v2/models/acme/churn/infer'
const POST = `POST ${INFER} HTTP/1.1\r\nHost: x\r\n`
const CANARY = 'POST /v2/models/acme/canary/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\ncanary'
const CHUNKED_BODY = '2\r\n{}\r\n0\r\n\r\n'

function lengthOf(value: string): string {
  return `${POST}Content-Length: ${value}\r\n\r\n{}`
}

function coding(line: string): string {
  return `${POST}${line}\r\n\r\n${CHUNKED_BODY}`
}

function chunks(body: string): string {
  return `${POST}Transfer-Encoding: chunked\r\n\r\n${body}`
}

function header(line: string): string {
  return `${POST}${line}\r\nContent-Length: 2\r\n\r\n{}`
}

/** Refused, with the status of the one answer that comes before the connection ends. */
const REFUSED: readonly (readonly [what: string, bytes: string, status: number])[] = [
  ['a length and chunks', `${POST}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG`, 400],
  ['chunks and a length', `${POST}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n${CHUNKED_BODY}`, 400],
  ['two equal lengths', `${POST}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}`, 400],
  ['two lengths', `${POST}Content-Length: 2\r\nContent-Length: 30\r\n\r\n{}`, 400],
  ['a list of lengths', lengthOf('2, 2'), 400],
  ['a length with a plus', lengthOf('+2'), 400],
  ['a negative length', lengthOf('-2'), 400],
  ['a hexadecimal length', lengthOf('0x2'), 400],
  ['a length of two words', lengthOf('2 2'), 400],
  ['a length with a fraction', lengthOf('2.0'), 400],
  ['a length of no digits', lengthOf(''), 400],
  ['a length past 64 bits', lengthOf('99999999999999999999'), 400],
  ['a blank before the colon of a length', `${POST}Content-Length : 2\r\n\r\n{}`, 400],
  ['chunked before identity', coding('Transfer-Encoding: chunked, identity'), 400],
  ['identity before chunked', coding('Transfer-Encoding: identity, chunked'), 501],
  ['gzip before chunked', coding('Transfer-Encoding: gzip, chunked'), 501],
  ['chunked twice', coding('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked'), 400],
  ['chunked and identity in two lines', coding('Transfer-Encoding: chunked\r\nTransfer-Encoding: identity'), 400],
  ['a coding that ends like chunked', coding('Transfer-Encoding: xchunked'), 501],
  ['a coding with parameters', coding('Transfer-Encoding: chunked;q=1'), 501],
  ['a blank before the colon of a coding', coding('Transfer-Encoding : chunked'), 400],
  ['a coding on a folded line', coding('Transfer-Encoding:\r\n chunked'), 400],
  ['a vertical tab before a coding', coding('Transfer-Encoding: \x0bchunked'), 400],
  ['a coding of no name', `${POST}Transfer-Encoding: \r\n\r\n`, 400],
  ['identity with a length', `${POST}Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}`, 400],
  [
    'chunks in HTTP/1.0',
    `POST ${INFER} HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n${CHUNKED_BODY}`,
    400,
  ],
  ['a chunk extension that ends in a bare line feed', chunks('2;a=b\n{}\r\n0\r\n\r\n'), 400],
  ['chunks between bare line feeds', chunks('2\n{}\n0\n\n'), 400],
  ['a negative chunk', chunks('-2\r\n{}\r\n0\r\n\r\n'), 400],
  ['a chunk size with 0x', chunks('0x2\r\n{}\r\n0\r\n\r\n'), 400],
  ['a chunk size past 64 bits', chunks('fffffffffffffffff\r\n{}\r\n0\r\n\r\n'), 400],
  ['a chunk size and a blank', chunks('2 \r\n{}\r\n0\r\n\r\n'), 400],
  ['a chunk longer than it says', chunks('2\r\n{}}\r\n0\r\n\r\n'), 400],
  ['a chunk of no size', chunks('\r\n{}\r\n0\r\n\r\n'), 400],
  ['a second carriage return behind a size', chunks('2\r\r\n{}\r\n0\r\n\r\n'), 400],
  ['a length in the trailers', chunks('2\r\n{}\r\n0\r\nContent-Length: 5\r\n\r\n'), 400],
  ['chunk extensions without end', chunks(`2;${'a'.repeat(20_000)}\r\n{}\r\n0\r\n\r\n`), 413],
  ['a folded header', header('X-A: b\r\n c'), 400],
  ['a first header that is folded', `POST ${INFER} HTTP/1.1\r\n Host: x\r\nContent-Length: 2\r\n\r\n{}`, 400],
  ['bare line feeds', `POST ${INFER} HTTP/1.1\nHost: x\nContent-Length: 2\n\n{}`, 400],
  ['a bare line feed after a header', `${POST}X: a\nContent-Length: 2\r\n\r\n{}`, 400],
  ['a bare carriage return in a header', `${POST}X: a\rContent-Length: 2\r\n\r\n{}`, 400],
  ['a NUL in a value', header('X: a\0b'), 400],
  ['a NUL in a name', header('X\0: b'), 400],
  ['a control byte in a value', header('X: a\x07b'), 400],
  ['a delete in a value', header('X: a\x7fb'), 400],
  ['a header without a name', header(': b'), 400],
  ['a line without a colon', header('Abc'), 400],
  ['no Host', `POST ${INFER} HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}`, 400],
  ['two Hosts', header('Host: y'), 400],
  ['a Host with a path', `POST ${INFER} HTTP/1.1\r\nHost: x/y\r\nContent-Length: 2\r\n\r\n{}`, 400],
  ['a Host with a name before it', `POST ${INFER} HTTP/1.1\r\nHost: me@x\r\nContent-Length: 2\r\n\r\n{}`, 400],
  ['HTTP/0.9', 'GET /livez\r\n\r\n', 400],
  ['HTTP/1.2', `POST ${INFER} HTTP/1.2\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}`, 400],
  ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
  ['a method that nobody has', `STEAL ${INFER} HTTP/1.1\r\nHost: x\r\n\r\n`, 400],
  ['tabs in the first line', `POST\t${INFER}\tHTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}`, 400],
  ['a blank in the target', `POST ${INFER} x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}`, 400],
  ['a NUL in the target', `POST ${INFER}\0 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}`, 400],
  ['a byte over 127 in the target', `POST ${INFER}\xff HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}`, 400],
  ['a target that is no path', `GET x HTTP/1.1\r\nHost: x\r\n\r\n`, 400],
  ['a tunnel', 'CONNECT inner:22 HTTP/1.1\r\nHost: x\r\n\r\n', 405],
]

/** Read as one request, whose answer has this status; then the canary is. `body`: what the inference got. */
const READ: readonly (readonly [what: string, bytes: string, status: number, body?: string])[] = [
  ['a length', lengthOf('2'), 200, '{}'],
  ['a length with zeros in front', lengthOf('0002'), 200, '{}'],
  ['a length after a tab', `${POST}Content-Length:\t2\r\n\r\n{}`, 200, '{}'],
  ['chunks', chunks(CHUNKED_BODY), 200, '{}'],
  ['chunked in capitals', coding('Transfer-Encoding: CHUNKED'), 200, '{}'],
  ['chunked between blanks', coding('Transfer-Encoding: \tchunked '), 200, '{}'],
  ['chunk extensions', chunks('1;a=b\r\n{\r\n1;c="d"\r\n}\r\n0;e\r\n\r\n'), 200, '{}'],
  ['trailers, which mean nothing', chunks('2\r\n{}\r\n0\r\nserve_multiplexed_model_id: acme/evil\r\n\r\n'), 200, '{}'],
  ['no body and no length', `${POST}\r\n`, 200, ''],
  ['a body behind GET', `GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: ${CANARY.length}\r\n\r\n${CANARY}`, 200],
  ['chunks behind GET', `GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 200],
  ['empty lines before the request', `\r\n\r\n${lengthOf('2')}`, 200, '{}'],
  ['an empty Host', `POST ${INFER} HTTP/1.1\r\nHost:\r\nContent-Length: 2\r\n\r\n{}`, 200, '{}'],
  ['a Host of IPv6', `POST ${INFER} HTTP/1.1\r\nHost: [::1]:8080\r\nContent-Length: 2\r\n\r\n{}`, 200, '{}'],
  [
    'a target with a site, which is not looked at',
    `POST http://other${INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}`,
    200,
    '{}',
  ],
  ['an offer of another protocol', header('Connection: Upgrade\r\nUpgrade: websocket'), 200, '{}'],
  [
    'an offer of HTTP/2 with settings',
    header('Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk'),
    200,
    '{}',
  ],
  ['an offer without a body', 'GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n', 200],
  ['an expectation', header('Expect: 100-continue'), 200, '{}'],
  ['an expectation that nobody knows', header('Expect: 200-ok'), 200, '{}'],
  ['TRACE, which would tell headers', `TRACE ${INFER} HTTP/1.1\r\nHost: x\r\n\r\n`, 405],
  ['another method', `PUT ${INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}`, 405],
  ['a target with a fragment', `GET /livez#a HTTP/1.1\r\nHost: x\r\n\r\n`, 400],
]

describe('a request that could be read in two ways', () => {
  for (const [what, bytes, status] of REFUSED) {
    it(`is refused with its connection: ${what}`, async () => {
      const http = await startHttp()
      const connection = await RawConnection.open(http.port)
      const answers = await connection.write(bytes + CANARY).untilOver()
      assert.deepEqual(
        answers.map((answer) => answer.status),
        [status],
      )
      assert.equal(answers[0]?.headers.get('connection'), 'close')
      assert.equal(typeof (JSON.parse(answers[0]?.body ?? '') as { error: unknown }).error, 'string')
      assertNotDone(http)
      connection.destroy()
      await assertAtRest(http)
    })
  }
})

describe('a request that can be read in one way only', () => {
  for (const [what, bytes, status, body] of READ) {
    // In one packet, and the canary in a packet of its own.
    for (const together of [true, false]) {
      it(`is read as that, with what comes ${together ? 'in the same packet' : 'after it'}: ${what}`, async () => {
        const http = await startHttp()
        const connection = await RawConnection.open(http.port)
        if (together) connection.write(bytes + CANARY)
        else {
          connection.write(bytes)
          await connection.answers(1)
          connection.write(CANARY)
        }
        const answers = await connection.answers(2)
        assert.deepEqual(
          answers.map((answer) => answer.status),
          [status, 200],
        )
        assert.deepEqual(bodiesOf(http), body === undefined ? ['canary'] : [body, 'canary'])
        connection.destroy()
        await assertAtRest(http)
      })
    }
  }
})

/** The canary was never run; the request before it may have begun, and was left. */
function assertNotDone(http: Harness): void {
  assert.deepEqual(
    http.gateway.inferences.map(({ ref }) => ref.name).filter((name) => name === 'acme/canary'),
    [],
  )
}

function bodiesOf(http: Harness): readonly string[] {
  return http.gateway.inferences.map((request) => Buffer.concat([...request.body]).toString())
}

async function assertAtRest(http: Harness): Promise<void> {
  const { server } = http
  assert.equal((await http.get('/livez')).status, 200)
  await until('nothing is in flight', () => server.inFlight === 0)
  assert.deepEqual(server.heldBytes, { received: 0, unread: 0 })
}
