import assert from 'node:assert/strict'
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { GatewayError } from '../../../src/domain/errors.ts'
import { Journal } from '../../../src/telemetry/journal.ts'
import { JournaledLog } from '../../../src/telemetry/journaled-log.ts'
import { until } from '../../support/eventually.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const root = await mkdtemp(join(tmpdir(), 'modelmux-journal-'))
after(() => rm(root, { recursive: true }))

let folders = 0

function setUp({ maxBytes = 100_000, maxPendingBytes = 1_000_000, dir = join(root, `j${folders++}`) } = {}) {
  const clock = new ManualClock()
  const events: string[] = []
  const log = {
    event: (name: string) => void events.push(name),
    line: (name: string) => void events.push(name),
  }
  const journal = new Journal({ clock, log, maxBytes, maxPendingBytes })
  return { clock, events, log, journal, dir }
}

async function linesIn(dir: string): Promise<string[]> {
  const names = (await readdir(dir)).sort()
  // One may be deleted between the two looks.
  const texts = await Promise.all(names.map((name) => readFile(join(dir, name), 'utf8').catch(() => '')))
  return texts.join('').split('\n').filter(Boolean)
}

/** Notes `count` records and sees them written. */
async function fill(scene: ReturnType<typeof setUp>, count: number): Promise<void> {
  for (let i = 0; i < count; i++) scene.journal.note('model.loaded', 'info', { key: `m-${i}` })
  await scene.journal.close(1000)
}

describe('Journal', () => {
  it('goes on where the last life of its folder ended, those noted before it was opened included', async () => {
    const first = setUp()
    await first.journal.open(first.dir)
    await fill(first, 3)
    const second = setUp({ dir: first.dir })
    second.journal.note('process.started', 'info', {})
    await second.journal.open(first.dir)
    await fill(second, 1)
    const seen = second.journal.read(0, 100).map(({ seq, event }) => `${seq} ${event}`)
    assert.deepEqual(seen, [
      '1 model.loaded',
      '2 model.loaded',
      '3 model.loaded',
      '4 process.started',
      '5 model.loaded',
    ])
    assert.equal((await linesIn(first.dir)).length, 5)
    assert.deepEqual(
      second.journal.read(3, 1).map(({ seq }) => seq),
      [5],
    )
  })

  it('passes over a line that a kill cut off, and begins a new one behind it', async () => {
    const first = setUp()
    await first.journal.open(first.dir)
    await fill(first, 2)
    const [file = ''] = await readdir(first.dir)
    await appendFile(join(first.dir, file), '{"seq":3,"at":"2026-01-01T00:00:00Z","level":"in')
    const second = setUp({ dir: first.dir })
    await second.journal.open(first.dir)
    await fill(second, 1)
    const third = setUp({ dir: first.dir })
    await third.journal.open(first.dir)
    assert.deepEqual(
      third.journal.read(0, 100).map(({ seq }) => seq),
      [1, 2, 3],
    )
  })

  it('stays within its bytes by deleting the oldest file', async () => {
    const scene = setUp({ maxBytes: 8000 })
    await scene.journal.open(scene.dir)
    for (let i = 0; i < 40; i++) {
      for (let k = 0; k < 10; k++) scene.journal.note('model.evicted', 'info', { key: `m-${i}`, reason: 'memory' })
      await scene.clock.advance(300)
      await until(
        'the burst is written',
        async () => (await linesIn(scene.dir)).at(-1)?.includes(`"seq":${(i + 1) * 10},`) === true,
      )
      const names = await readdir(scene.dir)
      const sizes = await Promise.all(names.map(async (name) => (await stat(join(scene.dir, name))).size))
      assert.ok(sizes.reduce((sum, size) => sum + size, 0) <= 8000, `${sizes.join(' + ')} bytes`)
    }
    await scene.journal.close(1000)
    assert.equal(scene.journal.dropped, 0)
  })

  it('drops and counts what a failing disk does not take, says so once, and goes on when it does again', async () => {
    const scene = setUp()
    const { journal, clock, events, dir } = scene
    await journal.open(dir)
    // Without its folder no file can be opened, as on a disk that failed.
    await rm(dir, { recursive: true })
    for (let i = 0; i < 3; i++) {
      journal.note('worker.down', 'warn', { worker: 'worker-0' })
      await clock.advance(5100)
      await until('the write failed', () => journal.dropped === i + 1)
    }
    assert.deepEqual(events, ['journal.failed'])
    await mkdir(dir)
    journal.note('worker.up', 'info', { worker: 'worker-0' })
    await clock.advance(5100)
    await until('writing works again', () => events.includes('journal.recovered'))
    await journal.close(1000)
    assert.equal(journal.dropped, 3)
    assert.match((await linesIn(dir)).join('\n'), /^{"seq":4,.*worker\.up/)
  })

  it('never holds more than its bytes for a disk that does not answer, and does not wait for it at the end', async () => {
    const scene = setUp({ maxPendingBytes: 1000 })
    await scene.journal.open(scene.dir)
    scene.journal.note('model.loaded', 'info', {})
    for (let i = 0; i < 1000; i++) scene.journal.note('model.loaded', 'info', { key: `m-${i}` })
    assert.ok(scene.journal.dropped > 900)
    assert.equal(scene.journal.lastSeq, 1001)
    await scene.journal.close(0)
    scene.journal.note('model.loaded', 'info', {})
    assert.equal(scene.journal.lastSeq, 1001)
    assert.equal(scene.clock.pendingTimers, 0)
  })

  it('writes errors as code and message, hides secrets, and survives facts that JSON cannot hold', async () => {
    const scene = setUp()
    await scene.journal.open(scene.dir)
    const err = new GatewayError('STORE_UNAVAILABLE', 'GET https://me:pw@s3.example/b/k?X-Amz-Signature=abc failed')
    scene.journal.note('model.load-failed', 'warn', { key: 'm', err, sessionToken: 'xyz' })
    scene.journal.note('model.loaded', 'info', { big: 1n })
    await scene.journal.close(1000)
    const [line = ''] = await linesIn(scene.dir)
    assert.match(line, /"code":"STORE_UNAVAILABLE","message":"GET https:\/\/s3\.example\/b\/k\?\[hidden\] failed"/)
    assert.doesNotMatch(line, /abc|xyz|me:pw/)
    assert.equal(scene.journal.dropped, 1)
  })

  it('keeps to memory when it may have no disk', async () => {
    const scene = setUp({ maxBytes: 0 })
    await scene.journal.open(scene.dir)
    await fill(scene, 5000)
    assert.equal(scene.journal.read(0, 10_000).length, 1000)
    await assert.rejects(readdir(scene.dir))
  })
})

describe('JournaledLog', () => {
  it('logs every event and journals those of the table that are kept', () => {
    const { log, journal, events } = setUp()
    const both = new JournaledLog(log, journal)
    both.event('model.evicted', { key: 'm' })
    both.event('registry.scanned')
    both.line('request.done', '"status":200')
    assert.deepEqual(events, ['model.evicted', 'registry.scanned', 'request.done'])
    assert.deepEqual(
      journal.read(0, 10).map(({ event, level }) => [event, level]),
      [['model.evicted', 'info']],
    )
  })
})
