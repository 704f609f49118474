import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { link, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { after, before, describe, it } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { promisify } from 'node:util'
import { localFiles, localReader } from '../../../src/app/local-artifacts.ts'
import { mlflowFiles } from '../../../src/app/mlflow-files.ts'
import type { ArtifactPlace } from '../../../src/domain/artifact-place.ts'
import type { RemoteFile } from '../../../src/domain/remote-source.ts'
import type { MlflowFiles } from '../../../src/registry/mlflow-record.ts'
import { ReadFailure } from '../../../src/store/object-reader.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { modelVersion } from '../../support/model-version.ts'

const { signal } = new AbortController()
const ONNX = 'flavors:\n  onnx:\n    data: model.onnx\n'
const DIGEST = 'a'.repeat(64)

/** Files of one version and what is asked of them. */
class Scene {
  readonly calls: string[] = []
  readonly contents = new Map<string, string>([
    ['MLmodel', ONNX],
    ['model.onnx', 'graph'],
    ['.DS_Store', 'rubbish'],
  ])
  uri = 'mlflow-artifacts:/1/model'
  fails = 0
  /** What comes instead of the MLmodel. */
  body: (() => AsyncIterable<Uint8Array>) | undefined
  readonly clock = new ManualClock()
  digests: MlflowFiles['digests'] = []
  readonly sourceOf = mlflowFiles({
    rules: { server: 'http://mlflow:5000', allowed: [] },
    filesOf: () => ({ digests: this.digests }),
    downloadUri: async () => {
      this.calls.push('uri')
      return this.uri
    },
    list: async (place) => {
      this.calls.push(`list ${place.kind}`)
      return [...this.contents].map(([path, text]) => this.#file(path, text, place))
    },
    reader: {
      ranges: false,
      read: async ({ path }) => {
        this.calls.push(`read ${path}`)
        if (this.fails-- > 0) throw new ReadFailure('unavailable', 'for a moment')
        if (this.body !== undefined) return this.body()
        return (async function* (text) {
          yield Buffer.from(text)
        })(this.contents.get(path) ?? '')
      },
    },
    maxThreads: 4,
    clock: this.clock,
  })

  #file(path: string, text: string, place: ArtifactPlace): RemoteFile {
    return {
      path,
      bytes: text.length,
      location: place.kind === 'proxy' ? `mlflow-artifacts:/${place.path}/${path}` : '',
    }
  }
}

describe('the files of a version in MLflow', () => {
  it('are asked for in three calls, without what copying tools leave, and with the digests that are known', async () => {
    const scene = new Scene()
    scene.digests = [['model.onnx', DIGEST]]
    assert.deepEqual(await scene.sourceOf(modelVersion('churn'), signal), {
      files: [
        { path: 'MLmodel', bytes: ONNX.length, location: 'mlflow-artifacts:/1/model/MLmodel' },
        { path: 'model.onnx', bytes: 5, location: 'mlflow-artifacts:/1/model/model.onnx', sha256: DIGEST },
      ],
      modelFile: 'model.onnx',
    })
    assert.deepEqual(scene.calls, ['uri', 'list proxy', 'read MLmodel'])
  })

  it('lie where they lay for the same version, and are asked for again for another', async () => {
    const scene = new Scene()
    for (const version of ['1', '1', '2']) await scene.sourceOf(modelVersion('churn', version), signal)
    assert.equal(scene.calls.filter((call) => call === 'uri').length, 2)
  })

  it('are not asked for where they may not lie', async () => {
    const scene = new Scene()
    scene.uri = 's3://bucket/model'
    await assert.rejects(scene.sourceOf(modelVersion('churn'), signal), { name: 'ReadFailure', kind: 'denied' })
    assert.deepEqual(scene.calls, ['uri'])
  })

  it('are those of an ONNX file without an MLmodel too', async () => {
    const scene = new Scene()
    scene.contents.delete('MLmodel')
    assert.equal((await scene.sourceOf(modelVersion('churn'), signal)).modelFile, 'model.onnx')
    scene.contents.delete('model.onnx')
    await assert.rejects(scene.sourceOf(modelVersion('churn'), signal), { name: 'ReadFailure', kind: 'missing' })
    scene.contents.set('model.pkl', '')
    await assert.rejects(scene.sourceOf(modelVersion('churn'), signal), { code: 'ARTIFACT_INVALID' })
  })

  it('are refused with an MLmodel of many megabytes, which is not read', async () => {
    const scene = new Scene()
    scene.contents.set('MLmodel', `${ONNX}#${'x'.repeat(2 ** 20)}`)
    await assert.rejects(scene.sourceOf(modelVersion('churn'), signal), /at most 1048576 are allowed/)
    assert.equal(scene.calls.includes('read MLmodel'), false)
  })

  it('are found although the read of the MLmodel fails twice, and not when it goes on failing', async () => {
    const scene = new Scene()
    scene.fails = 2
    assert.equal((await scene.sourceOf(modelVersion('churn'), signal)).modelFile, 'model.onnx')
    scene.fails = 3
    await assert.rejects(scene.sourceOf(modelVersion('churn'), signal), { kind: 'unavailable' })
  })

  it('are not found by an MLmodel that never ends, ends early, or stops in the middle', async () => {
    const scene = new Scene()
    let sent = 0
    scene.body = async function* () {
      for (; sent < 2 ** 20; sent += 1024) yield Buffer.alloc(1024)
    }
    await assert.rejects(scene.sourceOf(modelVersion('churn'), signal), { kind: 'unavailable' })
    assert.ok(sent < 2 ** 16, `${sent} bytes were taken`)
    scene.body = async function* () {
      yield Buffer.from(ONNX.slice(0, 20))
    }
    await assert.rejects(scene.sourceOf(modelVersion('churn'), signal), { kind: 'unavailable' })
    scene.body = async function* () {
      yield Buffer.from(ONNX.slice(0, 20))
      await new Promise(() => undefined)
    }
    const stalled = assert.rejects(scene.sourceOf(modelVersion('churn'), signal), { kind: 'unavailable' })
    for (let tries = 0; tries < 3; tries++) await scene.clock.advance(30_000)
    await stalled
    assert.equal(scene.clock.pendingTimers, 0)
  })
})

describe('artifacts in folders of this machine', () => {
  let root: string
  let allowed: string
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'modelmux-local-artifacts-'))
    allowed = join(root, 'allowed')
    await mkdir(join(allowed, 'model/sub'), { recursive: true })
    await writeFile(join(allowed, 'model/model.onnx'), 'graph')
    await writeFile(join(allowed, 'model/sub/part.data'), 'weights')
    await writeFile(join(root, 'secret'), 'secret')
  })
  after(() => rm(root, { recursive: true, force: true }))

  it('are read where they lie', async () => {
    const files = await localFiles(join(allowed, 'model'), [allowed], signal)
    assert.deepEqual(
      files.map(({ path, bytes }) => [path, bytes]),
      [
        ['model.onnx', 5],
        ['sub/part.data', 7],
      ],
    )
    const [graph] = files
    assert.ok(graph)
    const read = await localReader.read(graph, 0, 5, signal)
    assert.equal((await buffer(read)).toString(), 'graph')
    await assert.rejects(localReader.read({ ...graph, bytes: 4 }, 0, 4, signal), { kind: 'replaced' })
  })

  it('are refused behind links, of folders and of files, soft and hard', async () => {
    await symlink(root, join(allowed, 'out'))
    await mkdir(join(allowed, 'soft'))
    await symlink(join(root, 'secret'), join(allowed, 'soft/model.onnx'))
    await mkdir(join(allowed, 'hard'))
    await link(join(root, 'secret'), join(allowed, 'hard/model.onnx'))
    for (const name of ['out', 'soft', 'hard'])
      await assert.rejects(localFiles(join(allowed, name), [allowed], signal), { name: 'ReadFailure', kind: 'denied' })
    const location = `file://${join(allowed, 'soft/model.onnx')}`
    await assert.rejects(localReader.read({ path: 'model.onnx', bytes: 6, location }, 0, 6, signal), ReadFailure)
    await assert.rejects(localFiles(join(allowed, 'nowhere'), [allowed], signal), { kind: 'missing' })
  })

  it('are not read once something else is there than was listed: a link on the way, another name, a pipe', async () => {
    const dir = join(allowed, 'changed')
    await mkdir(join(dir, 'sub'), { recursive: true })
    await mkdir(join(root, 'elsewhere'))
    for (const path of ['changed/sub/part.data', 'changed/model.onnx', 'changed/pipe'])
      await writeFile(join(allowed, path), 'secret')
    await writeFile(join(root, 'elsewhere/part.data'), 'secret')
    const files = await localFiles(dir, [allowed], signal)
    await rm(join(dir, 'sub'), { recursive: true })
    await symlink(join(root, 'elsewhere'), join(dir, 'sub'))
    await rm(join(dir, 'model.onnx'))
    await link(join(root, 'secret'), join(dir, 'model.onnx'))
    await rm(join(dir, 'pipe'))
    await promisify(execFile)('mkfifo', [join(dir, 'pipe')])
    for (const file of files)
      await assert.rejects(localReader.read(file, 0, 6, signal), { kind: 'replaced' }, file.path)
    assert.equal(files.length, 3)
  })

  it('end with the signal, and not the process with them, when nobody reads them yet', async () => {
    const [graph] = await localFiles(join(allowed, 'model'), [allowed], signal)
    assert.ok(graph)
    const reason = new Error('nobody waits')
    const [early, late] = [new AbortController(), new AbortController()]
    const opening = assert.rejects(localReader.read(graph, 0, 5, early.signal), reason)
    early.abort(reason)
    await opening
    const read = await localReader.read(graph, 0, 5, late.signal)
    late.abort(reason)
    await setImmediate()
    await assert.rejects(buffer(read), { name: 'AbortError' })
  })
})
