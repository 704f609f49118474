import assert from 'node:assert/strict'
import { rename, symlink, utimes, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { type ErrorCode, GatewayError } from '../../../src/domain/errors.ts'
import type { ModelRef } from '../../../src/domain/model-ref.ts'
import { systemClock } from '../../../src/lib/clock.ts'
import { FolderRegistry } from '../../../src/registry/folder-registry.ts'
import type { RegistryChange } from '../../../src/registry/registry.ts'
import { InlineScanner } from '../../support/inline-scanner.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { ModelsFolder } from '../../support/models-folder.ts'

const POLL_MS = 5000
const SETTLE_MS = 1000
/** Files that a test wrote have settled long ago when this much is added to the clock's wall time. */
const LONG_AGO_MS = 60_000

let folder: ModelsFolder
let clock: ManualClock
let scanner: InlineScanner
let registry: FolderRegistry
const events: Array<[name: string, fields: Readonly<Record<string, unknown>>]> = []
const changes: RegistryChange[] = []

beforeEach(() => {
  events.length = 0
  changes.length = 0
  folder = new ModelsFolder()
  clock = new ManualClock({ wall: systemClock.wall() + LONG_AGO_MS })
})
afterEach(async () => {
  await registry.close()
  assert.equal(clock.pendingTimers, 0)
  await folder[Symbol.asyncDispose]()
})

async function open(settleMs = SETTLE_MS): Promise<void> {
  scanner = new InlineScanner(clock)
  registry = new FolderRegistry({
    models: folder.path,
    pollMs: POLL_MS,
    settleMs,
    defaults: { batching: 'auto', maxRows: 64, maxDelayMs: 0, intraOpThreads: 1 },
    clock,
    onEvent: (name, fields) => events.push([name, fields]),
    startScanner: scanner.start,
  })
  registry.onChange((change) => changes.push(change))
  await registry.start()
}

async function openAndScan(settleMs = SETTLE_MS): Promise<void> {
  await open(settleMs)
  scanner.scan()
}

/** The clock says what the machine's does: files that a test writes now have not settled. */
function comeToThePresent(): void {
  clock.jumpWall(systemClock.wall() - clock.wall())
}

/** The next poll comes right after what the test wrote last. */
async function pollAtOnce(): Promise<void> {
  clock.jumpWall(systemClock.wall() - clock.wall() - POLL_MS)
  await clock.advance(POLL_MS)
}

function refusal(ref: ModelRef): GatewayError {
  try {
    registry.resolve(ref)
  } catch (error) {
    assert.ok(error instanceof GatewayError)
    return error
  }
  return assert.fail(`${ref.name} was resolved`)
}

function refuses(ref: ModelRef, code: ErrorCode, message: RegExp): void {
  const error = refusal(ref)
  assert.equal(error.code, code)
  assert.match(error.message, message)
}

function eventsNamed(name: string): Array<Readonly<Record<string, unknown>>> {
  return events.filter(([event]) => event === name).map(([, fields]) => fields)
}

describe('FolderRegistry, before its first look is over', () => {
  it('answers unknown names with MODEL_LOADING, and has a name that was asked for looked at first', async () => {
    await folder.writeVersion('acme/churn')
    await open()
    const error = refusal({ name: 'acme/churn' })
    assert.equal(error.code, 'MODEL_LOADING')
    assert.ok((error.facts.retryAfterMs ?? 0) <= 1000)
    refusal({ name: 'acme/churn' })
    assert.deepEqual(scanner.asked, ['acme/churn'])
    scanner.answer()
    assert.equal(registry.resolve({ name: 'acme/churn' }).version, '1')
    assert.equal(eventsNamed('registry.scanned').length, 0)
  })

  it('says MODEL_NOT_FOUND of a name that was looked for in vain', async () => {
    await folder.writeVersion('acme/churn')
    await open()
    for (const name of ['acme/other', 'acme/churn/1', 'none']) {
      assert.equal(refusal({ name }).code, 'MODEL_LOADING')
      scanner.answer()
      refuses({ name }, 'MODEL_NOT_FOUND', new RegExp(name))
    }
  })

  it('takes names that are asked for while it looks between two folders', async () => {
    for (const name of ['a', 'b', 'c']) await folder.writeVersion(name)
    await open()
    refusal({ name: 'c' })
    const order: string[] = []
    registry.onChange(({ version }) => order.push(version.name))
    scanner.scan()
    assert.equal(order[0], 'c')
    assert.equal(order.length, 3)
  })

  it('bounds the names that it has looked for', async () => {
    await open()
    for (let i = 0; i < 5000; i++) refusal({ name: `name-${i}` })
    assert.equal(scanner.asked.length, 1000)
  })

  it('says that the folder cannot be looked at, and begins when it can', async () => {
    await rename(folder.path, `${folder.path}-away`)
    await openAndScan()
    refuses({ name: 'churn' }, 'REGISTRY_UNAVAILABLE', /ENOENT/)
    await rename(`${folder.path}-away`, folder.path)
    await folder.writeVersion('churn')
    await clock.advance(POLL_MS)
    await registry.initialScan
    assert.equal(registry.resolve({ name: 'churn' }).version, '1')
  })

  it('lets those go who wait for the first look when it is closed', async () => {
    await open()
    await registry.close()
    await registry.initialScan
  })
})

describe('FolderRegistry and files that change', () => {
  it('answers MODEL_LOADING until the only version has settled, and notices without waiting for the next poll', async () => {
    comeToThePresent()
    await folder.writeVersion('churn')
    await openAndScan()
    const error = refusal({ name: 'churn' })
    assert.equal(error.code, 'MODEL_LOADING')
    assert.equal(error.facts.retryAfterMs, SETTLE_MS)
    assert.equal(refusal({ name: 'churn', version: '1' }).code, 'MODEL_LOADING')
    await clock.advance(SETTLE_MS)
    assert.equal(registry.resolve({ name: 'churn' }).version, '1')
  })

  it('keeps serving version 1 while version 2 is being written', async () => {
    await folder.writeVersion('churn', '1')
    await openAndScan()
    await folder.writeVersion('churn', '2')
    await pollAtOnce()
    assert.equal(registry.resolve({ name: 'churn' }).version, '1')
    assert.equal(refusal({ name: 'churn', version: '2' }).code, 'MODEL_LOADING')
    await clock.advance(SETTLE_MS)
    assert.equal(registry.resolve({ name: 'churn' }).version, '2')
  })

  it('starts the settling time again with each write', async () => {
    clock.jumpWall(-2 * LONG_AGO_MS)
    await folder.writeVersion('churn', '1', 'a')
    await openAndScan()
    for (const content of ['ab', 'abc', 'abcd']) {
      await clock.advance(SETTLE_MS / 2)
      await folder.writeVersion('churn', '1', content)
      await clock.advance(SETTLE_MS / 2)
      assert.equal(refusal({ name: 'churn' }).code, 'MODEL_LOADING')
    }
    await clock.advance(SETTLE_MS)
    assert.equal(registry.resolve({ name: 'churn' }).bytes, 4)
  })

  it('keeps the old key of a file that is overwritten until the new bytes have settled', async () => {
    await folder.writeVersion('churn', '1', 'before')
    await openAndScan()
    const before = registry.resolve({ name: 'churn' })
    await folder.writeVersion('churn', '1', 'afterwards')
    await pollAtOnce()
    assert.equal(registry.resolve({ name: 'churn' }), before)
    await clock.advance(SETTLE_MS)
    const after = registry.resolve({ name: 'churn' })
    assert.notEqual(after.key, before.key)
    assert.deepEqual(changes.at(-1), { kind: 'changed', version: after, previous: before })
  })

  it('waits after a file beside the model was taken away: its successor may be on the way', async () => {
    await folder.writeVersion('churn', '1')
    await folder.write('churn/1/weights.bin')
    await openAndScan()
    const before = registry.resolve({ name: 'churn' })
    await folder.remove('churn/1/weights.bin')
    await pollAtOnce()
    assert.equal(registry.resolve({ name: 'churn' }), before)
    await clock.advance(SETTLE_MS)
    assert.notEqual(registry.resolve({ name: 'churn' }).key, before.key)
  })

  it('trusts its own clock when the file server is ahead by an hour', async () => {
    comeToThePresent()
    clock.jumpWall(-3_600_000)
    await folder.writeVersion('churn')
    await openAndScan()
    assert.equal(refusal({ name: 'churn' }).code, 'MODEL_LOADING')
    await clock.advance(SETTLE_MS)
    assert.equal(registry.resolve({ name: 'churn' }).version, '1')
  })

  it('does not take a change of times alone for other bytes when they are set back', async () => {
    await folder.writeVersion('churn')
    await utimes(folder.at('churn/1/model.onnx'), 1_600_000_000, 1_600_000_000)
    await openAndScan()
    const before = registry.resolve({ name: 'churn' })
    await utimes(folder.at('churn/1/model.onnx'), 1_600_000_000, 1_600_000_000)
    await clock.advance(POLL_MS + SETTLE_MS)
    assert.equal(registry.resolve({ name: 'churn' }), before)
    assert.equal(changes.length, 1)
  })

  it('finds a model file that comes into a version folder made before', async () => {
    await folder.write('churn/7/notes.txt')
    await openAndScan()
    refuses({ name: 'churn' }, 'MODEL_NOT_FOUND', /churn/)
    await folder.write('churn/7/model.onnx')
    await clock.advance(POLL_MS + SETTLE_MS)
    assert.equal(registry.resolve({ name: 'churn' }).version, '7')
  })
})

describe('FolderRegistry and a folder that goes away', () => {
  it('keeps every model while the folder is gone, tells it once, and goes on when it is back', async () => {
    await folder.writeVersion('churn')
    await openAndScan()
    const version = registry.resolve({ name: 'churn' })
    await rename(folder.path, `${folder.path}-away`)
    await clock.advance(3 * POLL_MS)
    assert.equal(registry.resolve({ name: 'churn' }), version)
    assert.equal(eventsNamed('registry.root_lost').length, 1)
    assert.match(registry.lostReason ?? '', /ENOENT/)
    await rename(`${folder.path}-away`, folder.path)
    await folder.writeVersion('fraud')
    await clock.advance(POLL_MS + SETTLE_MS)
    assert.equal(eventsNamed('registry.root_found').length, 1)
    assert.equal(registry.lostReason, undefined)
    assert.deepEqual(registry.names().toSorted(), ['churn', 'fraud'])
    assert.equal(registry.resolve({ name: 'churn' }), version)
  })

  it('takes an empty folder in its place for an unmounted one', async () => {
    await folder.writeVersion('churn')
    await openAndScan()
    const mountPoint = new ModelsFolder()
    await rename(folder.path, `${folder.path}-away`)
    await rename(mountPoint.path, folder.path)
    await clock.advance(POLL_MS)
    assert.equal(registry.resolve({ name: 'churn' }).version, '1')
    assert.equal(eventsNamed('registry.root_lost').length, 1)
    await rename(folder.path, mountPoint.path)
    await rename(`${folder.path}-away`, folder.path)
    await mountPoint[Symbol.asyncDispose]()
  })

  it('believes that the last model was removed when the folder itself is the same', async () => {
    await folder.writeVersion('churn')
    await openAndScan()
    await folder.remove('churn')
    await clock.advance(POLL_MS)
    refuses({ name: 'churn' }, 'MODEL_NOT_FOUND', /churn/)
  })

  it('reconciles what it knows with what a restarted scanner finds', async () => {
    for (const name of ['kept', 'removed']) await folder.writeVersion(name)
    await openAndScan()
    const kept = registry.resolve({ name: 'kept' })
    await folder.remove('removed')
    scanner.dieAndRestart()
    assert.equal(registry.resolve({ name: 'removed' }).version, '1')
    scanner.scan()
    assert.equal(registry.resolve({ name: 'kept' }), kept)
    refuses({ name: 'removed' }, 'MODEL_NOT_FOUND', /removed/)
    assert.equal(eventsNamed('registry.scanner_died').length, 1)
  })
})

describe('FolderRegistry and its layout', () => {
  it('takes names of one to four segments, and the folder around versions for the model', async () => {
    const names = ['churn', 'acme/churn', 'acme/eu/churn', 'acme/eu/retail/churn', '2024/forecast']
    for (const name of names) await folder.writeVersion(name)
    await folder.writeVersion('churn/nested')
    await folder.writeVersion('a/b/c/d/e')
    await openAndScan()
    assert.deepEqual(registry.names().toSorted(), names.toSorted())
  })

  it('stops serving what lies in a folder that becomes a model', async () => {
    await folder.writeVersion('acme/churn')
    await openAndScan()
    await folder.writeVersion('acme', '3')
    await clock.advance(POLL_MS)
    assert.deepEqual(registry.names(), ['acme'])
    await folder.remove('acme/3')
    await clock.advance(2 * POLL_MS)
    assert.deepEqual(registry.names(), ['acme/churn'])
  })

  it('counts as a version only digits that hold a model file, and prefers .onnx to .ort', async () => {
    await folder.writeVersion('churn', '1')
    await folder.write('churn/2/notes.txt')
    await folder.write('churn/v3/model.onnx')
    await folder.write('churn/4/model.ort')
    await folder.write('churn/5/model.ort')
    await folder.write('churn/5/model.onnx')
    await folder.write('churn/1234567890123456789/model.onnx')
    await openAndScan()
    assert.deepEqual(
      registry.versionsOf('churn').map(({ version, modelFile }) => `${version} ${modelFile}`),
      ['1 model.onnx', '4 model.ort', '5 model.onnx'],
    )
  })

  it('leaves hidden folders and files alone', async () => {
    await folder.writeVersion('churn')
    await folder.write('.snapshot/churn/1/model.onnx')
    await openAndScan()
    const before = registry.resolve({ name: 'churn' })
    await folder.write('churn/1/.model.onnx.partial')
    await clock.advance(POLL_MS + SETTLE_MS)
    assert.equal(registry.resolve({ name: 'churn' }), before)
    assert.deepEqual(registry.names(), ['churn'])
  })

  it('skips a name that is none and tells it once', async () => {
    await folder.writeVersion('acme/infer')
    await folder.writeVersion('has@sign')
    await folder.writeVersion('fine')
    await openAndScan()
    await clock.advance(3 * POLL_MS)
    assert.deepEqual(registry.names(), ['fine'])
    const skipped = eventsNamed('registry.name_skipped').map(({ path, problem }) => `${path}: ${problem}`)
    assert.equal(skipped.length, 2)
    assert.match(skipped.join('\n'), /acme\/infer: .*word of the URL/)
  })

  it('tells of a model file where none belongs, as in a folder without versions', async () => {
    await folder.write('churn/model.onnx')
    await folder.writeVersion('fine')
    await openAndScan()
    await clock.advance(2 * POLL_MS)
    const [misplaced, ...more] = eventsNamed('registry.layout_problem')
    assert.equal(misplaced?.['path'], folder.at('churn'))
    assert.deepEqual(more, [])
  })

  it('tells of versions in the models folder itself, and serves the rest', async () => {
    await folder.write('1/model.onnx')
    await folder.writeVersion('fine')
    await openAndScan()
    assert.deepEqual(registry.names(), ['fine'])
    assert.equal(eventsNamed('registry.name_skipped').length, 1)
  })

  it('follows links inside the models folder and refuses those that lead out, in circles or nowhere', async () => {
    await folder.writeVersion('churn', '1')
    const outside = new ModelsFolder()
    await outside.writeVersion('secret')
    await symlink(folder.at('churn'), folder.at('alias'))
    await symlink(folder.path, folder.at('circle'))
    await symlink(outside.path, folder.at('outside'))
    await symlink(folder.at('missing'), folder.at('nowhere'))
    await folder.writeVersion('fraud', '1')
    await symlink(outside.at('secret/1/model.onnx'), folder.at('fraud/1/weights.bin'))
    await openAndScan()
    assert.deepEqual(registry.names().toSorted(), ['alias', 'churn', 'fraud'])
    refuses({ name: 'fraud' }, 'ARTIFACT_INVALID', /'weights.bin' leads out of the folder/)
    await outside[Symbol.asyncDispose]()
  })

  it('serves the latest version that can be used, and says of the other why it cannot', async () => {
    await folder.writeVersion('churn', '1')
    await folder.writeVersion('churn', '2')
    await symlink('/etc/hostname', folder.at('churn/2/weights.bin'))
    await openAndScan()
    assert.equal(registry.resolve({ name: 'churn' }).version, '1')
    refuses({ name: 'churn', version: '2' }, 'ARTIFACT_INVALID', /weights\.bin/)
    const broken = registry.versionsOf('churn')[1]
    assert.ok(broken !== undefined)
    assert.match(registry.problemOf(broken) ?? '', /weights\.bin/)
  })
})

describe('FolderRegistry and the files beside the versions', () => {
  it('runs a model as its modelmux.yaml wants, with defaults for the rest', async () => {
    await folder.writeVersion('churn')
    await folder.write('churn/modelmux.yaml', 'batching: { maxRows: 8 }\ndeadlineMs: 500\nwarmUp: [{ inputs: [] }]\n')
    await openAndScan()
    assert.deepEqual(registry.resolve({ name: 'churn' }).settings, {
      batching: { mode: 'auto', maxRows: 8, maxDelayMs: 0 },
      intraOpThreads: 1,
      warmUp: [{ inputs: [] }],
      deadlineMs: 500,
    })
  })

  it('tells changed settings as a change of the same key', async () => {
    await folder.writeVersion('churn')
    await openAndScan()
    const before = registry.resolve({ name: 'churn' })
    await folder.write('churn/modelmux.yaml', 'intraOpThreads: 2')
    await clock.advance(POLL_MS)
    const after = registry.resolve({ name: 'churn' })
    assert.equal(after.settings.intraOpThreads, 2)
    assert.equal(after.key, before.key)
    assert.deepEqual(changes.at(-1), { kind: 'changed', version: after, previous: before })
    await folder.remove('churn/modelmux.yaml')
    await clock.advance(POLL_MS)
    assert.deepEqual(registry.resolve({ name: 'churn' }).settings, before.settings)
  })

  it('does not run a model whose settings were never right, and says what is wrong', async () => {
    await folder.writeVersion('churn')
    await folder.write('churn/modelmux.yaml', 'batchng: { mode: off }\nintraOpThreads: 0')
    await openAndScan()
    refuses({ name: 'churn' }, 'ARTIFACT_INVALID', /modelmux\.yaml: .*batchng: there is no such field/)
    await folder.write('churn/modelmux.yaml', 'batching: { mode: off }')
    await clock.advance(POLL_MS)
    assert.equal(registry.resolve({ name: 'churn' }).settings.batching.mode, 'off')
  })

  it('keeps the last good settings and aliases of a model whose files became wrong, and tells it', async () => {
    await folder.writeVersion('churn')
    await folder.write('churn/modelmux.yaml', 'intraOpThreads: 3')
    await folder.write('churn/aliases.json', '{"champion": 1}')
    await openAndScan()
    await folder.write('churn/modelmux.yaml', 'intraOpThreads: many')
    await folder.write('churn/aliases.json', '{"champion": ')
    await clock.advance(POLL_MS)
    const version = registry.resolve({ name: 'churn', alias: 'champion' })
    assert.equal(version.settings.intraOpThreads, 3)
    const problems = eventsNamed('registry.model_problem').map(({ path }) => path)
    assert.deepEqual(problems.toSorted(), [folder.at('churn/aliases.json'), folder.at('churn/modelmux.yaml')])
  })

  it('does not adopt settings that are half written, and does not start a model before it knows them', async () => {
    comeToThePresent()
    await folder.writeVersion('churn')
    await openAndScan()
    await clock.advance(SETTLE_MS / 2)
    await folder.write('churn/modelmux.yaml', 'batching: { mode: off }')
    await clock.advance(SETTLE_MS / 2)
    assert.equal(refusal({ name: 'churn' }).code, 'MODEL_LOADING')
    await folder.write('churn/modelmux.yaml', 'batching: { mode: off, maxRows: 4 }')
    await clock.advance(POLL_MS + SETTLE_MS)
    assert.equal(registry.resolve({ name: 'churn' }).settings.batching.maxRows, 4)
  })

  it('reads nothing from outside the models folder', async () => {
    await folder.writeVersion('churn')
    const outside = new ModelsFolder()
    await outside.write('secret.json', 'password=hunter2')
    await symlink(outside.at('secret.json'), folder.at('churn/aliases.json'))
    await openAndScan()
    assert.match(String(eventsNamed('registry.model_problem')[0]?.['problem']), /leads out of the models folder/)
    assert.doesNotMatch(JSON.stringify(events), /hunter2/)
    await outside[Symbol.asyncDispose]()
  })
})

describe('FolderRegistry and mistyped names', () => {
  it('works out near names a bounded number of times a second, and remembers them until names change', async () => {
    await folder.writeVersion('acme/churn')
    await openAndScan()
    const near = (name: string) => /near names/.test(refusal({ name }).message)
    assert.ok(near('acme/chur0'))
    const answers = Array.from({ length: 40 }, (_, index) => near(`acme/chur${index}`))
    assert.equal(answers.filter(Boolean).length, 20)
    assert.ok(near('acme/chur0'))
    await clock.advance(1000)
    assert.ok(near('acme/chur39'))
    await folder.writeVersion('acme/chur0x')
    await clock.advance(POLL_MS)
    assert.match(refusal({ name: 'acme/chur0' }).message, /'acme\/chur0x'/)
  })

  it('is empty-handed in an empty folder', async () => {
    await writeFile(folder.at('README'), 'no models yet')
    await openAndScan()
    await registry.initialScan
    assert.deepEqual(registry.size, { models: 0, versions: 0 })
    refuses({ name: 'churn' }, 'MODEL_NOT_FOUND', /there is no model 'churn'$/)
  })
})
