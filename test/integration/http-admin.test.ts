import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { AdminSource } from '../../src/http/admin-source.ts'
import type { JournalRecord } from '../../src/telemetry/journal-record.ts'
import type { Overview } from '../../src/telemetry/overview.ts'
import type { Harness } from '../support/http-harness.ts'
import { readToEnd, startHttp } from '../support/http-harness.ts'

const RECORD: JournalRecord = { seq: 7, at: '2026-01-01T00:00:00.000Z', level: 'info', event: 'worker.up', fields: {} }
/** What the routes do with it is pass it on. */
const OVERVIEW = { models: { hottest: [] } } as unknown as Overview

const asked: string[] = []
const admin: AdminSource = {
  overview: async (top) => {
    asked.push(`overview ${top}`)
    return OVERVIEW
  },
  events: (since, limit) => {
    asked.push(`events ${since} ${limit}`)
    return [RECORD]
  },
  lastEvent: () => 9,
}

/** The status of a request with these header lines and no others. */
async function statusOf(harness: Harness, requestLine: string, ...headers: string[]): Promise<number> {
  const socket = await harness.connect()
  const answer = readToEnd(socket)
  socket.end([requestLine, ...headers, 'Connection: close', '', ''].join('\r\n'))
  return Number(/^HTTP\/1\.1 (\d+)/.exec(await answer)?.[1])
}

describe('the admin routes', () => {
  it('answer a client of this machine', async () => {
    const harness = await startHttp({}, { admin })
    const overview = await harness.get('/admin/overview')
    assert.deepEqual([overview.status, overview.json], [200, OVERVIEW])
    assert.equal((await harness.get('/admin/overview?top=3')).status, 200)
    const events = await harness.get('/admin/events?since=4&limit=2')
    assert.deepEqual(events.json, { lastSeq: 9, events: [RECORD] })
    assert.deepEqual(asked, ['overview 20', 'overview 3', 'events 4 2'])
  })

  it('say what a number should have been', async () => {
    const harness = await startHttp({}, { admin })
    for (const query of ['top=0', 'top=201', 'top=x', 'top=', 'top=1e3', 'top=-1', 'top=99999999999999999']) {
      const answer = await harness.get(`/admin/overview?${query}`)
      assert.equal(answer.status, 400, query)
      assert.match(String(answer.json.error), /expected a whole number from 1 to 200/)
    }
    assert.equal((await harness.get('/admin/events?since=-1')).status, 400)
  })

  it('are not there for anybody else, whatever the method', async () => {
    const harness = await startHttp({}, { admin })
    for (const path of ['/admin/overview', '/admin/events', '/admin/none']) {
      assert.equal(await statusOf(harness, `GET ${path} HTTP/1.1`, 'Host: rebound.example'), 404)
      assert.equal(await statusOf(harness, `POST ${path} HTTP/1.1`, 'Host: rebound.example', 'Content-Length: 0'), 404)
      assert.equal(
        await statusOf(harness, `GET ${path} HTTP/1.1`, 'Host: localhost', 'Origin: http://evil.example'),
        404,
      )
      assert.equal(await statusOf(harness, `GET ${path} HTTP/1.1`, 'Host: localhost', 'X-Forwarded-For: 10.0.0.1'), 404)
    }
    assert.equal(
      await statusOf(harness, 'GET http://rebound.example/admin/overview HTTP/1.1', 'Host: rebound.example'),
      404,
    )
    assert.equal(await statusOf(harness, 'GET /admin/overview HTTP/1.0'), 404)
    assert.equal(await statusOf(harness, 'GET /admin/overview HTTP/1.1', 'Host: localhost:1'), 200)
  })

  it('are given so many times a second and no more', async () => {
    const harness = await startHttp({}, { admin })
    const answers = await Promise.all(Array.from({ length: 60 }, () => harness.get('/admin/overview')))
    const refused = answers.filter(({ status }) => status === 429)
    assert.ok(refused.length >= 20)
    assert.equal(refused[0]?.headers['retry-after'], '1')
  })

  it('are not there at all when turned off', async () => {
    const off = await startHttp()
    assert.equal((await off.get('/admin/overview')).status, 404)
  })
})
