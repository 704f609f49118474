/** Row 44: bodies that are small on the wire and huge in memory. */
import { constants, deflateSync, gzipSync } from 'node:zlib'
import { HttpConnection, type Reply, requestOnce } from '../../generator/http-connection.ts'
import { readServerProcesses } from '../../measure/server-processes.ts'
import { expectUntouched, outcomeOf, tailOf } from '../answers.ts'
import { Expectations, type FaultRow } from '../fault.ts'
import { type FaultStage, nameIn } from '../stage.ts'

const STEADY_MODELS = 10
const EXPANDED_BYTES = 2 ** 30
const DEPTH = 100_000
const TIMES = 10
/** What one body may cost, as a multiple of the largest that is allowed. */
const MAX_GROWTH_BYTES = 2 * 64 * 2 ** 20

export const bodyBombs: FaultRow = {
  number: 44,
  fault: 'gzip bombs and JSON of 10^5 levels',
  injected: `a gibibyte of zeros as gzip and as deflate, gzip in gzip, and ${DEPTH} brackets, ${TIMES} times each`,
  expected:
    '413 or 400 before the limit is passed, memory grows by less than twice the largest body; others answered without an error',
  limitSeconds: 2,
  async run(stage) {
    const expect = new Expectations()
    const steady = await stage.writeSteady(STEADY_MODELS)
    const running = await stage.serve()
    const { server } = running
    await stage.touchAll(running, steady)
    const zeros = Buffer.alloc(EXPANDED_BYTES)
    const level = { level: constants.Z_BEST_SPEED }
    const gzip = gzipSync(zeros, level)
    const bombs: readonly (readonly [
      name: string,
      encoding: string | undefined,
      body: Buffer,
      wanted: readonly number[],
    ])[] = [
      ['gzip', 'gzip', gzip, [413]],
      ['deflate', 'deflate', deflateSync(zeros, level), [413]],
      ['gzip in gzip', 'gzip', gzipSync(gzip), [400, 413]],
      ['both encodings', 'gzip, gzip', gzipSync(gzip), [400, 413, 415]],
      ['brackets', undefined, Buffer.from('['.repeat(DEPTH)), [400]],
      ['objects', undefined, Buffer.from(`${'{"a":'.repeat(DEPTH)}1${'}'.repeat(DEPTH)}`), [400]],
    ]
    const before = await totalPrivate(server.pid)
    const said: string[] = []
    let slowest = 0
    const {
      value: { report },
      peak,
    } = await stage.peakDuring(
      () => totalPrivate(server.pid),
      () =>
        stage.besideSteady(running, steady, async () => {
          for (const [name, encoding, body, wanted] of bombs) {
            const replies: Reply[] = []
            for (let i = 0; i < TIMES; i += 1) replies.push(await post(stage, server.target, body, encoding))
            for (const { status } of replies)
              expect.that(wanted.includes(status), `${name}: ${status}, expected ${wanted.join(' or ')}`)
            slowest = Math.max(slowest, ...replies.map(({ ms }) => ms / 1000))
            said.push(`${name} ${[...new Set(replies.map(outcomeOf))].join(' ')}`)
          }
        }),
    )
    expectUntouched(expect, report)
    const growth = peak - before
    const mib = Math.round(growth / 2 ** 20)
    expect.that(growth <= MAX_GROWTH_BYTES, `all processes together grew by ${mib} MiB`)
    const measured = `the slowest answer; ${said.join(', ')}; all processes together grew by ${mib} MiB, ${tailOf(report)}`
    return { seconds: slowest, measured, problems: expect.problems }
  },
}

async function totalPrivate(pid: number): Promise<number> {
  const all = await readServerProcesses(pid)
  return all.reduce((sum, { privateBytes }) => sum + privateBytes, 0)
}

async function post(
  { clock }: FaultStage,
  target: { readonly host: string; readonly port: number },
  body: Buffer,
  encoding: string | undefined,
): Promise<Reply> {
  const lines = [
    `POST /v2/models/${nameIn('steady', 1)}/infer HTTP/1.1`,
    `Host: ${target.host}`,
    'Content-Type: application/json',
    `Content-Length: ${body.length}`,
    ...(encoding === undefined ? [] : [`Content-Encoding: ${encoding}`]),
  ]
  const connection = new HttpConnection(target, 30_000, clock)
  try {
    return await requestOnce(connection, [Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), body], clock)
  } finally {
    connection.close()
  }
}
