import assert from 'node:assert/strict'
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { GatewayError } from '../../../src/domain/errors.ts'
import { EVENTS } from '../../../src/telemetry/events.ts'
import type { LogOptions } from '../../../src/telemetry/log.ts'
import { Log } from '../../../src/telemetry/log.ts'
import { textLine } from '../../../src/telemetry/text-line.ts'

const folder = mkdtempSync(join(tmpdir(), 'modelmux-log-'))
after(() => rmSync(folder, { recursive: true }))

let files = 0

function open(options: Partial<LogOptions> = {}): { log: Log; read: () => string } {
  const file = join(folder, `log-${files++}`)
  const log = new Log({
    level: 'info',
    format: 'json',
    fd: openSync(file, 'w'),
    maxBufferedBytes: 1_000_000,
    ...options,
  })
  return { log, read: () => readFileSync(file, 'utf8') }
}

describe('Log', () => {
  it('writes an event as one line of JSON with time, level and name', async () => {
    const { log, read } = open()
    log.event('model.loaded', { model: 'acme/churn', openMs: 3 })
    await log.close()
    const { time, ...rest } = JSON.parse(read()) as { time: string }
    assert.match(time, /^\d{4}-\d\d-\d\dT.*Z$/)
    assert.deepEqual(rest, { level: 'info', event: 'model.loaded', model: 'acme/churn', openMs: 3 })
  })

  it('gives an event the level of the table unless told otherwise, and writes none below its own', async () => {
    const { log, read } = open({ level: 'warn' })
    log.event('model.loaded')
    log.event('worker.down')
    log.event('model.loaded', {}, 'error')
    await log.close()
    const levels = read()
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { level: string }).level)
    assert.deepEqual(levels, ['warn', 'error'])
    assert.equal(log.isOn('info'), false)
  })

  it('writes errors with code, stack and causes', async () => {
    const { log, read } = open()
    const cause = new Error('bad allocation')
    log.event('request.failed', { err: new GatewayError('INFERENCE_FAILED', 'the run failed', {}, { cause }) })
    await log.close()
    const { err } = JSON.parse(read()) as { err: { code: string; stack: string; cause: { message: string } } }
    assert.equal(err.code, 'INFERENCE_FAILED')
    assert.match(err.stack, /the run failed/)
    assert.equal(err.cause.message, 'bad allocation')
  })

  it('keeps every line in order up to its end, and none after it', async () => {
    const { log, read } = open()
    for (let i = 0; i < 2000; i++) log.event('request.done', { i })
    const closed = log.close()
    log.event('request.done', { i: -1 })
    await closed
    await log.close()
    const numbers = read()
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { i: number }).i)
    assert.deepEqual(
      numbers,
      Array.from({ length: 2000 }, (_, i) => i),
    )
  })

  it('drops whole lines and counts them when nobody reads as fast', async () => {
    const { log, read } = open({ maxBufferedBytes: 40_000 })
    for (let i = 0; i < 5000; i++) log.event('request.done', { i })
    await log.close()
    const lines = read().trim().split('\n')
    assert.ok(log.dropped > 0)
    assert.equal(lines.length + log.dropped, 5000)
    for (const line of lines) JSON.parse(line)
  })

  it('writes text for people when asked', async () => {
    const { log, read } = open({ format: 'text' })
    log.event('model.loaded', { model: 'acme/churn', note: 'two words', timings: { open: 3 } })
    await log.close()
    assert.match(
      read(),
      /^\d\d:\d\d:\d\d\.\d{3} INFO {2}model\.loaded model=acme\/churn note="two words" timings=\{"open":3\}\n$/,
    )
  })

  it('names every event by a noun and what became of it', () => {
    for (const name of Object.keys(EVENTS)) assert.match(name, /^[a-z]+\.[a-z]+([-_][a-z]+)*$/)
  })
})

describe('textLine', () => {
  it('shows what would steer a terminal as an escape, in names and in stacks', () => {
    const evil = '\u001b]0;x\u0007\u009b2J\u202e\u2028'
    const err = { stack: `Error: ${evil}\r\n\tat worker\n12:00:00.000 INFO  process.stopped` }
    const text = textLine(
      JSON.stringify({ time: '', level: 'warn', event: 'child.line', line: evil, said: `a ${evil}`, err }),
    )
    assert.doesNotMatch(text.replaceAll(/[\n\t]/g, ''), /[\p{C}\p{Zl}\p{Zp}]/u)
    assert.match(text, /line="\\u001b\]0;x\\u0007\\u009b2J\\u202e\\u2028" /)
    assert.deepEqual(text.split('\n').slice(1), [
      '    Error: \\u001b]0;x\\u0007\\u009b2J\\u202e\\u2028\\u000d',
      '    \tat worker',
      '    12:00:00.000 INFO  process.stopped',
      '',
    ])
  })

  it('puts stacks below, indented, and passes what is not JSON', () => {
    const line = JSON.stringify({
      time: '2026-01-02T03:04:05.678Z',
      level: 'error',
      event: 'x',
      err: { stack: 'Error: a\n  at b' },
    })
    assert.equal(textLine(line), '03:04:05.678 ERROR x\n    Error: a\n      at b\n')
    assert.equal(textLine('raw\n'), 'raw\n')
  })
})
