/** Fetches of several processes into one folder, what a killed one leaves, and disks that are full. */
import assert from 'node:assert/strict'
import { appendFileSync, rmSync } from 'node:fs'
import { chmod, mkdir, readFile, rm, statfs, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import type { ModelVersion } from '../../src/domain/model-version.ts'
import { pause, systemClock } from '../../src/lib/clock.ts'
import { until } from '../support/eventually.ts'
import { content, FetchScene, SMALL_LIMITS } from '../support/fetch-scene.ts'
import { FetchingProcess, type FetchJob } from '../support/fetching-process.ts'
import { mountProblem, PrivateMount } from '../support/private-mount.ts'

const RANGE = 64 * 1024
const BYTES = 10 * RANGE
const READS = 10
/** Whoever does not wait would have answered by then; whoever does is not late however long it is. */
const WAIT_MS = 500
const problem = mountProblem()

describe('the staging folder', () => {
  let scene: FetchScene
  let version: ModelVersion
  const running: FetchingProcess[] = []
  beforeEach(async () => {
    scene = await FetchScene.set()
    version = scene.publish('churn', { 'model.onnx': content(BYTES) })
  })
  afterEach(async () => {
    await Promise.all(running.splice(0).map((one) => one.kill()))
    await scene[Symbol.asyncDispose]()
  })

  it('has nothing fetched twice by two processes that want it at once', async () => {
    const [one, two] = await Promise.all([start(), start()])
    const answers = await Promise.all([one?.stage(job(version)), two?.stage(job(version))])
    assert.deepEqual(answers, ['staged true', 'staged true'])
    assert.equal(scene.proxy.seen.length, READS)
  })

  it('makes a process wait for another that uses the source, and not for one that was killed', async () => {
    const [first, second] = await Promise.all([start(), start()])
    await first?.stage({ ...job(version), isKept: true })
    let isAnswered = false
    const waiting = second?.stage(job(version)).finally(() => {
      isAnswered = true
    })
    await pause(systemClock, WAIT_MS)
    assert.equal(isAnswered, false)
    await first?.kill()
    assert.equal(await waiting, 'staged true')
    await second?.stage({ ...job(version), isKept: true })
    await second?.kill()
    assert.deepEqual(await scene.staged(), [version.sourceId, `${version.sourceId}.lock`])
    await start()
    assert.deepEqual(await scene.staged(), [version.sourceId])
    assert.equal(scene.proxy.seen.length, READS)
  })

  it('holds nothing half after a kill in the middle of a fetch, and all that was whole', async () => {
    const whole = scene.publish('whole', { 'model.onnx': content(1000) })
    const killed = await start()
    await killed.stage(job(whole))
    scene.proxy.order({ fault: { kind: 'stall', at: BYTES - 1 } })
    const fetching = killed.stage(job(version))
    await until('the most of it is here', () => scene.proxy.seen.length > READS)
    assert.ok((await scene.staged()).includes(`${version.sourceId}.part`))
    await killed.kill()
    assert.equal(await fetching, 'gone')

    scene.proxy.heal()
    const next = await start()
    assert.deepEqual(await scene.staged(), [whole.sourceId])
    const asked = scene.proxy.seen.length
    assert.equal(await next.stage(job(whole)), 'staged true')
    assert.equal(scene.proxy.seen.length, asked)
    assert.equal(await next.stage(job(version)), 'staged true')
    assert.equal(scene.proxy.seen.length, asked + READS)
  })

  it('does not lose a fetch under way to a process that starts', async () => {
    const first = await start()
    scene.proxy.order({ fault: { kind: 'stall', at: BYTES - 1 }, times: 1 })
    const fetching = first.stage(job(version))
    await until('the most of it is here', () => scene.proxy.seen.length >= READS)
    await start()
    assert.equal(await fetching, 'staged true')
  })

  it('fetches again what somebody scribbled over', async () => {
    const store = await scene.store()
    const staged = await store.stage(version)
    await writeFile(join(staged.dir, 'more.bin'), 'scribble')
    assert.equal(await staged.isUnchanged(), false)
    staged.release()
    await until('it is let go', async () => (await scene.staged()).join() === version.sourceId)
    const again = await store.stage(version)
    assert.equal(await again.isUnchanged(), true)
    assert.equal(scene.proxy.seen.length, 2 * READS)
    again.release()
    await until('it is let go', async () => (await scene.staged()).join() === version.sourceId)
    await rm(join(scene.staging, version.sourceId, 'source.json'))
    ;(await store.stage(version)).release()
    assert.equal(scene.proxy.seen.length, 3 * READS)
  })

  it('holds what was fetched before the machine started against its digests, once, and fetches again what the start lost', async () => {
    ;(await (await scene.store()).stage(version)).release()
    await startMachine()
    ;(await (await scene.store()).stage(version)).release()
    await until('it is let go', async () => (await scene.staged()).join() === version.sourceId)
    assert.notEqual((await scene.record(version)).bootId, 'of before')
    assert.equal(scene.proxy.seen.length, READS)

    await startMachine()
    const file = join(scene.staging, version.sourceId, 'files', 'model.onnx')
    await chmod(file, 0o644)
    await writeFile(file, Buffer.alloc(BYTES))
    const staged = await (await scene.store()).stage(version)
    assert.notDeepEqual(await readFile(join(staged.dir, 'model.onnx')), Buffer.alloc(BYTES))
    assert.equal(scene.proxy.seen.length, 2 * READS)

    async function startMachine(): Promise<void> {
      await until('it is let go', async () => (await scene.staged()).join() === version.sourceId)
      const path = join(scene.staging, version.sourceId, 'source.json')
      const record = { ...(await scene.record(version)), bootId: 'of before' }
      await rm(path)
      await writeFile(path, JSON.stringify(record))
    }
  })

  it('evicts the least recently used first, and nothing in use, also not of another process', async () => {
    const [used, old, recent] = ['used', 'old', 'recent'].map((name) =>
      scene.publish(name, { 'model.onnx': content(BYTES) }),
    ) as [ModelVersion, ModelVersion, ModelVersion]
    const other = await start(4 * BYTES - 1)
    await other.stage({ ...job(used), isKept: true })
    const own = await start(4 * BYTES - 1)
    await own.stage(job(old))
    await own.stage(job(recent))
    await age(used, 3000)
    await age(old, 2000)
    await age(recent, 1000)
    assert.equal(await own.stage(job(version)), 'staged true')
    const kept = (await scene.staged()).filter((name) => !name.includes('.'))
    assert.deepEqual(kept, [used, recent, version].map(({ sourceId }) => sourceId).toSorted())
  })

  it('refuses what is larger than its budget with the arithmetic, before a byte is fetched', async () => {
    const small = await start(BYTES - 1)
    assert.match(await small.stage(job(version)), /^refused CAPACITY_EXHAUSTED: .*640 KiB/)
    assert.equal(scene.proxy.seen.length, 0)
  })

  it('refuses before a byte is fetched when the disk would not keep what is to stay free', async () => {
    const { bavail, bsize } = await statfs(scene.cache)
    const store = await scene.store({ staging: { minFreeBytes: 2 * bavail * bsize } })
    await assert.rejects(store.stage(version), { code: 'CAPACITY_EXHAUSTED', message: /are to stay free/ })
    assert.equal(scene.proxy.seen.length, 0)
  })

  it('refuses paths that lead out of it, or that would not be seen', async () => {
    const store = await scene.store()
    for (const path of ['../out.bin', '/etc/passwd', 'a/../../b', 'a\\b', 'a//b', '.hidden', 'model.onnx/b', 'a\0b']) {
      const hostile = scene.publish('hostile', { 'model.onnx': content(10) })
      const files = [...scene.filesOf(hostile), { path, bytes: 10, location: '/x' }]
      const sourced = scene.resolve(hostile, files)
      await assert.rejects(store.stage(sourced), { code: 'ARTIFACT_INVALID' }, path)
    }
    assert.equal(scene.proxy.seen.length, 0)
  })

  describe('on a small disk', { skip: problem ?? false }, () => {
    let mount: PrivateMount
    beforeEach(async () => {
      mount = await PrivateMount.make('2m')
    })
    afterEach(() => mount.close())

    it('evicts for what does not fit, and refuses what never will', async () => {
      const other = scene.publish('other', { 'model.onnx': content(BYTES) })
      const large = scene.publish('large', { 'model.onnx': content(4 * BYTES) })
      const child = await startInside()
      assert.equal(await child.stage(job(version)), 'staged true')
      assert.equal(await child.stage(job(other)), 'staged true')
      assert.equal(await child.stage(job(scene.publish('third', { 'model.onnx': content(2 * BYTES) }))), 'staged true')
      assert.match(await child.stage(job(large)), /^refused CAPACITY_EXHAUSTED: /)
    })

    it('evicts once when the disk fills up under a fetch, then says that it is full', async () => {
      const filler = mount.outside(join(mount.dir, 'filler'))
      // There is room when the fetch begins, and none when its last bytes come.
      const fillUp = (bytes: number, times: number): void => {
        let filled = 0
        scene.proxy.order({
          fault: { kind: 'stall', at: BYTES - 1 },
          when: () => {
            if (filled++ < times) fill(filler, bytes)
            return false
          },
        })
      }
      const child = await startInside()
      assert.equal(await child.stage(job(scene.publish('first', { 'model.onnx': content(BYTES) }))), 'staged true')
      fillUp(2 ** 20, 1)
      assert.equal(await child.stage(job(version)), 'staged true')
      scene.proxy.heal()
      rmSync(filler)
      fillUp(2 * 2 ** 20, 2)
      const last = scene.publish('last', { 'model.onnx': content(BYTES) })
      assert.match(await child.stage(job(last)), /^refused CAPACITY_EXHAUSTED: .*full/)
    })

    for (const isMade of [false, true]) {
      it(`lets a process start where nothing can be written${isMade ? ', with half a fetch in it' : ''}`, async () => {
        if (isMade)
          await mkdir(mount.outside(join(mount.dir, 'staging', `${version.sourceId}.part`)), { recursive: true })
        mount.remount('ro')
        const child = await startInside()
        assert.match(await child.stage(job(version)), /^refused STORE_UNAVAILABLE: .*cannot be written/)
        assert.equal(scene.proxy.seen.length, 0)
      })
    }

    function startInside(): Promise<FetchingProcess> {
      return start(2 ** 30, join(mount.dir, 'staging'), mount.prefix)
    }
  })

  async function start(
    budgetBytes = 2 ** 30,
    dir = scene.staging,
    prefix: readonly string[] = [],
  ): Promise<FetchingProcess> {
    const setting = { dir, origin: scene.proxy.url, budgetBytes, limits: SMALL_LIMITS }
    const started = await FetchingProcess.start(setting, prefix)
    running.push(started)
    return started
  }

  function job(wanted: ModelVersion): FetchJob {
    return { version: wanted, files: scene.filesOf(wanted), isKept: false }
  }

  async function age({ sourceId }: ModelVersion, seconds: number): Promise<void> {
    const path = join(scene.staging, sourceId, 'source.json')
    const at = systemClock.wall() / 1000 - seconds
    await utimes(path, at, at)
  }
})

/** As far as the disk takes it. */
function fill(path: string, bytes: number): void {
  try {
    appendFileSync(path, Buffer.alloc(bytes))
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error
  }
}
