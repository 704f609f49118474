import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, beforeEach, describe, it } from 'node:test'
import { QuarantineFolder } from '../../../src/artifact/quarantine-folder.ts'
import type { QuarantineRecord } from '../../../src/domain/quarantine.ts'

const root = await mkdtemp(join(tmpdir(), 'modelmux-quarantine-'))
after(() => rm(root, { recursive: true, force: true }))

let caches = 0
let cache: string
let unreadable: string[]
let folder: QuarantineFolder

function open(): QuarantineFolder {
  return new QuarantineFolder({
    cache,
    onUnreadable: (file, error) => unreadable.push(`${file} ${error instanceof Error ? error.message : ''}`),
  })
}

beforeEach(async () => {
  cache = join(root, String(++caches))
  await mkdir(join(cache, 'tmp'), { recursive: true })
  unreadable = []
  folder = open()
})

function record(name = 'acme/churn', changes: Partial<QuarantineRecord> = {}): QuarantineRecord {
  return {
    key: `${name}:1#0123`,
    model: name,
    version: '1',
    since: Date.UTC(2026, 0, 2),
    code: 'MODEL_QUARANTINED',
    message: 'it crashed twice',
    conditions: 'onnxruntime=1.30.0',
    strikes: [
      {
        reason: 'crash',
        phase: 'run',
        how: 'SIGFPE',
        process: 'worker-0',
        at: Date.UTC(2026, 0, 1),
        body: 'ab'.repeat(32),
      },
      { reason: 'crash', phase: 'open', how: 'SIGSEGV', process: 'worker-1', at: Date.UTC(2026, 0, 2) },
    ],
    ...changes,
  }
}

const pathOf = ({ key }: QuarantineRecord) => join(cache, folder.fileOf(key))

describe('the quarantine folder', () => {
  it('gives back what was written, in one file for each key', async () => {
    const all = [record(), record('beta/Ünïcode name'), record('gamma', { code: 'ARTIFACT_INVALID' })]
    for (const one of all) await folder.write(one)
    const read = await open().read()
    const byKey = (a: QuarantineRecord, b: QuarantineRecord) => (a.key < b.key ? -1 : 1)
    assert.deepEqual(read.toSorted(byKey), all.toSorted(byKey))
    assert.deepEqual(await readdir(join(cache, 'tmp')), [])
  })

  it('tells a person who, since when, why, and how to release', async () => {
    await folder.write(record())
    const file = JSON.parse(await readFile(pathOf(record()), 'utf8')) as Record<string, unknown>
    assert.deepEqual(
      [file.model, file.version, file.since, file.reason],
      ['acme/churn', '1', '2026-01-02T00:00:00.000Z', 'it crashed twice'],
    )
    assert.match(String(file.release), /^remove this file/)
    assert.equal((file.strikes as { at: string }[])[0]?.at, '2026-01-01T00:00:00.000Z')
  })

  it('keeps a record that is written again', async () => {
    await folder.write(record())
    await folder.write(record('acme/churn', { message: 'and again' }))
    assert.deepEqual(
      (await open().read()).map(({ message }) => message),
      ['and again'],
    )
  })

  it('says what it cannot read, and reads the rest', async () => {
    await folder.write(record())
    await folder.write(record('beta/other'))
    const good = pathOf(record('beta/other'))
    const scribbled = pathOf(record())
    for (const [text, why] of [
      ['{"format": 1, "key": ', 'JSON'],
      ['null', 'not an object'],
      ['{"format": 2}', 'format'],
      ['{"format": 1, "code": "MODEL_QUARANTINED", "key": "a"}', 'model is missing'],
      [(await readFile(good, 'utf8')).replace('2026-01-02', 'soon'), 'no date'],
      [await readFile(good, 'utf8'), 'another key'],
    ] as const) {
      unreadable = []
      await writeFile(scribbled, text)
      assert.deepEqual(
        (await open().read()).map(({ model }) => model),
        ['beta/other'],
      )
      assert.equal(unreadable.length, 1)
      assert.match(unreadable[0] ?? '', new RegExp(`^${folder.fileOf(record().key)}.*${why}`, 's'))
    }
  })

  it('passes over what is none of its files', async () => {
    await folder.write(record())
    await writeFile(join(cache, 'quarantine', 'README'), 'notes of an operator')
    await mkdir(join(cache, 'quarantine', `${'0'.repeat(32)}.json`))
    assert.equal((await open().read()).length, 1)
    assert.equal(unreadable.length, 1, 'a folder in place of a file is said')
  })

  it('waits for no pipe, and reads no device to its end', async () => {
    await folder.write(record())
    const place = (digit: string) => join(cache, 'quarantine', `${digit.repeat(32)}.json`)
    execFileSync('mkfifo', [place('0')])
    await symlink('/dev/zero', place('1'))
    assert.equal((await open().read()).length, 1)
    assert.deepEqual(
      unreadable.map((line) => line.replace(/^\S+ /, '')),
      ['it is no regular file', 'it is no regular file'],
    )
  })

  it('quotes a scribble in one short line', async () => {
    await folder.write(record())
    const file = join(cache, folder.fileOf(record().key))
    const text = await readFile(file, 'utf8')
    const scribble = `\n\u009b2J${'x'.repeat(10_000)}`
    const { key } = record()
    for (const [good, bad] of [
      [JSON.stringify(key), JSON.stringify(scribble)],
      ['"format": 1', `"format": ${JSON.stringify(scribble)}`],
      ['2026-01-02T00:00:00.000Z', JSON.stringify(scribble).slice(1, -1)],
    ] as const) {
      unreadable = []
      await writeFile(file, text.replace(good, bad))
      assert.deepEqual(await open().read(), [])
      assert.ok((unreadable[0] ?? '').length < 500)
      assert.doesNotMatch(unreadable[0] ?? '', /\p{Cc}/u)
    }
  })

  it('is empty where there is none', async () => {
    assert.deepEqual(await folder.read(), [])
    assert.deepEqual(await folder.present([record().key]), new Set())
  })

  it('tells which keys have a file still', async () => {
    const [a, b] = [record('acme/a'), record('acme/b')]
    await folder.write(a)
    await folder.write(b)
    await folder.remove(b.key)
    await folder.remove(b.key)
    assert.deepEqual(await folder.present([a.key, b.key]), new Set([a.key]))
    await rm(join(cache, 'quarantine'), { recursive: true })
    assert.deepEqual(await folder.present([a.key]), new Set(), 'all are released at once')
    await rename(cache, `${cache}-unmounted`)
    assert.equal(await folder.present([a.key]), undefined, 'a disk that went away tells nothing')
  })

  it('fails a write that it cannot do, and leaves nothing behind', async () => {
    await writeFile(join(cache, 'quarantine'), 'in the way')
    await assert.rejects(folder.write(record()))
    assert.deepEqual(await readdir(join(cache, 'tmp')), [])
  })
})
