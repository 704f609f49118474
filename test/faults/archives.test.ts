/** Archives that a store may hold: those of every archiver, and those that were made to harm. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import { gzipSync } from 'node:zlib'
import { GatewayError } from '../../src/domain/errors.ts'
import type { ModelVersion } from '../../src/domain/model-version.ts'
import type { RemoteFile } from '../../src/domain/remote-source.ts'
import type { RemoteStore } from '../../src/store/remote-store.ts'
import { content, FetchScene } from '../support/fetch-scene.ts'
import { pax, type TarMember, tar, tarGz } from '../support/tar-writer.ts'

const MODEL: TarMember = { path: 'model.onnx', content: 'graph' }
const MiB = 2 ** 20

describe('an archive in a store', () => {
  let scene: FetchScene
  let store: RemoteStore
  beforeEach(async () => {
    scene = await FetchScene.set()
    store = await scene.store()
  })
  afterEach(() => scene[Symbol.asyncDispose]())

  it('is the files in it, whatever else an archiver put there', async () => {
    const files = await unpacked([
      { path: './', type: '5' },
      { path: './model.onnx', content: 'graph' },
      { path: './._model.onnx', content: 'what a Mac adds' },
      { path: 'pax_global_header', type: 'g', content: '16 comment=hello' },
      { path: 'weights', type: '5' },
      pax({ path: `weights/${'long'.repeat(40)}.bin`, mtime: '1.5' }),
      { path: 'weights/cut', content: content(100_000) },
      { path: '././@LongLink', type: 'L', content: `weights/${'name'.repeat(40)}.bin\0` },
      { path: 'weights/cut', content: 'more' },
      { path: 'empty.bin' },
    ])
    assert.deepEqual(files, [
      { path: 'empty.bin', bytes: 0 },
      { path: 'model.onnx', bytes: 5 },
      { path: `weights/${'long'.repeat(40)}.bin`, bytes: 100_000 },
      { path: `weights/${'name'.repeat(40)}.bin`, bytes: 4 },
    ])
    const version = archived(tarGz([MODEL]))
    const source = await store.stage(version)
    assert.equal(readFileSync(join(source.dir, 'model.onnx'), 'utf8'), 'graph')
    assert.equal((await stat(join(source.dir, 'model.onnx'))).mode & 0o777, 0o444)
    assert.deepEqual(await readdir(join(source.dir, '..')), ['files', 'source.json'])
  })

  describe('of GNU tar', () => {
    let folder: string
    before(() => {
      folder = mkdtempSync(join(tmpdir(), 'modelmux-tar-'))
      mkdirSync(join(folder, 'd'.repeat(120)))
      for (const path of ['model.onnx', `${'d'.repeat(120)}/${'f'.repeat(120)}`, 'ü.bin'])
        writeFileSync(join(folder, path), content(70_000))
    })
    after(() => rmSync(folder, { recursive: true }))

    for (const format of ['gnu', 'pax', 'posix']) {
      it(`in its ${format} form is unpacked to what went in`, async () => {
        const archive = execFileSync('tar', ['-C', folder, `--format=${format}`, '-cz', '.'], { maxBuffer: MiB })
        const source = await store.stage(archived(archive))
        assert.equal(source.files.length, 3)
        for (const { path } of source.files)
          assert.ok(readFileSync(join(source.dir, path)).equals(readFileSync(join(folder, path))), path)
      })
    }
  })

  const hostile: ReadonlyArray<readonly [what: string, members: readonly TarMember[], why: RegExp]> = [
    ['leads out of its folder', [{ path: '../out', content: 'x' }], /it has '\.\.'/],
    ['leads out further down', [{ path: 'a/../../out', content: 'x' }], /it has '\.\.'/],
    ['leads out by a pax header', [pax({ path: '../../out' }), { path: 'in', content: 'x' }], /it has '\.\.'/],
    ['is absolute', [{ path: '/etc/cron.d/x', content: 'x' }], /it is absolute/],
    ['has a symbolic link', [{ path: 'a', type: '2', link: '/etc' }], /'a' is a symbolic link/],
    ['has a hard link', [{ path: 'a', type: '1', link: '/etc/passwd' }], /'a' is a hard link/],
    ['has a device', [{ path: 'a', type: '3' }], /'a' is a device/],
    ['has a pipe', [{ path: 'a', type: '6' }], /'a' is a pipe/],
    ['has a sparse file', [{ path: 'a', type: 'S' }], /'a' is a sparse file/],
    ['hides a sparse file', [pax({ 'GNU.sparse.realsize': '1' }), { path: 'a' }], /sparse/],
    ['has a name twice', [MODEL, { path: './model.onnx', content: 'other' }], /'model\.onnx' is there twice/],
    ['has a file for a folder', [MODEL, { path: 'model.onnx/a', content: 'x' }], /is a file and a folder/],
    [
      'has a folder for a file',
      [
        { path: 'a/b', content: 'x' },
        { path: 'a', content: 'x' },
      ],
      /is a file and a folder/,
    ],
    ['has no model', [{ path: 'churn/model.onnx', content: 'graph' }], /it has no 'model\.onnx'/],
    ['has a backslash', [{ path: 'a\\b', content: 'x' }], /backslash/],
    ['lies of a size', [pax({ size: '-5' }), { path: 'a' }], /not a number/],
    [
      'has a header as long as a file',
      [{ path: 'x', type: 'x', content: Buffer.alloc(100_000) }],
      /more than 65536 bytes/,
    ],
    ['is deeper than a model', [{ path: `${'d/'.repeat(20)}f`, content: 'x' }], /deeper than/],
  ]
  for (const [what, members, why] of hostile) {
    it(`that ${what} is refused`, async () => {
      const error = await refused(
        tarGz([...members, ...(members.includes(MODEL) || what === 'has no model' ? [] : [MODEL])]),
      )
      assert.equal(error.code, 'ARTIFACT_INVALID')
      assert.match(error.message, why)
    })
  }

  it('that is a bomb ends at a hundred times its size', async () => {
    const bomb = tarGz([MODEL, { path: 'zeros.bin', content: Buffer.alloc(200 * MiB) }])
    const error = await refused(bomb)
    assert.equal(error.code, 'ARTIFACT_INVALID')
    assert.match(error.message, /it unpacks to more than 19 MiB/)
  })

  it('that is a bomb behind its end mark ends there too', async () => {
    const bomb = gzipSync(Buffer.concat([tar([MODEL]), Buffer.alloc(200 * MiB)]))
    assert.match((await refused(bomb)).message, /it unpacks to more than/)
  })

  it('that says it holds more than fits in any disk is cut off, not believed', async () => {
    const error = await refused(tarGz([MODEL, { path: 'huge.bin', content: 'x', bytes: 8 ** 11 - 1 }]))
    assert.match(error.message, /it ends in the middle/)
  })

  it('may not unpack to more than the store allows', async () => {
    store = await scene.store({ limits: { unpackedBytes: MiB } })
    const error = await refused(tarGz([MODEL, { path: 'weights.bin', content: content(2 * MiB) }]))
    assert.match(error.message, /it unpacks to more than 1\.0 MiB/)
  })

  for (const [what, archive] of [
    ['is cut off', tarGz([MODEL, { path: 'weights.bin', content: content(10_000) }]).subarray(0, 5000)],
    ['was cut off before it was compressed', gzipSync(tar([MODEL], false))],
    ['is no gzip file', Buffer.from('nothing of the kind')],
    ['is no tar archive', gzipSync(content(4096))],
    ['has a byte changed', flipped(tarGz([MODEL, { path: 'weights.bin', content: content(10_000) }]), 6000)],
  ] as const) {
    it(`that ${what} is refused`, async () => {
      assert.equal((await refused(archive)).code, 'ARTIFACT_INVALID')
    })
  }

  it('that arrived with another byte is fetched again also where no digest is known', async () => {
    const archive = tarGz([MODEL, { path: 'weights.bin', content: content(10_000) }])
    scene.proxy.order({ fault: { kind: 'flip', at: 6000 }, times: 1 })
    const source = await store.stage(
      archived(archive, ({ path, bytes, location }) => ({ path, bytes, location, isArchive: true })),
    )
    assert.equal(source.files.length, 2)
    assert.equal(scene.eventsOf('source.corrupt').length, 1)
  })

  function archived(archive: Buffer, known = (file: RemoteFile) => file): ModelVersion {
    return scene.publish('churn', { 'churn.tar.gz': archive }, (file) => known({ ...file, isArchive: true }))
  }

  async function unpacked(members: readonly TarMember[]) {
    return (await store.stage(archived(tarGz(members)))).files
  }

  /** Nothing of it stays. */
  async function refused(archive: Buffer): Promise<GatewayError> {
    const error: unknown = await store.stage(archived(archive)).then(
      () => assert.fail('it was staged'),
      (reason: unknown) => reason,
    )
    assert.ok(error instanceof GatewayError, String(error))
    assert.deepEqual(await scene.staged(), [])
    return error
  }
})

function flipped(archive: Buffer, at: number): Buffer {
  const copy = Buffer.from(archive)
  copy[at] = (copy[at] ?? 0) ^ 0x55
  return copy
}
