/**
 * One replica with everything real but its processes and its disk: table, ledger, placements, queues, sessions, loads and
 * dispatcher as the application wires them, on a manual clock, with scripted workers and artifacts whose gates hold a load, an
 * open, a run or a close. For tests of what the parts do together; `end` proves that nothing is left behind.
 */
import assert from 'node:assert/strict'
import { replicaRooms } from '../../src/app/replica-rooms.ts'
import type { CacheEvent } from '../../src/cache/entry-table.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import type { Manifest, ProbeResult } from '../../src/domain/artifact.ts'
import type { ErrorCode } from '../../src/domain/errors.ts'
import { GatewayError } from '../../src/domain/errors.ts'
import type { FetchProgress } from '../../src/domain/fetch-progress.ts'
import type { InferAnswer, InferRequest } from '../../src/domain/inference.ts'
import type { ModelSettings, ModelVersion } from '../../src/domain/model-version.ts'
import { detach } from '../../src/lib/detach.ts'
import { assertCacheAtRest } from './cache-invariants.ts'
import { manifest } from './manifest.ts'
import { ManualClock, settle } from './manual-clock.ts'
import { modelVersion, PLAIN_SETTINGS } from './model-version.ts'
import { QuarantineShelf } from './quarantine-shelf.ts'
import { ScriptedArtifacts } from './scripted-artifacts.ts'
import { ScriptedSpare } from './scripted-spare.ts'
import { ScriptedWorker } from './scripted-worker.ts'

export const MiB = 1024 * 1024
const DEFAULTS = loadConfig({ env: {}, folders: 'ignore' })
/** Turns of the event loop after which a replica whose gates stand still does so too. */
const TURNS = 8

export interface SceneOptions {
  readonly workers?: number
  readonly memoryBytes?: number
  readonly maxMappings?: number
  /** Of a GPU; absent: the CPU. */
  readonly deviceBytes?: number
  readonly cache?: Partial<Config['cache']>
  readonly scheduler?: Partial<Config['scheduler']>
  readonly worker?: Partial<Config['worker']>
  readonly quarantine?: Partial<Config['quarantine']>
  /** Quarantine records, to begin with and from then on. */
  readonly shelf?: QuarantineShelf
  /** Workers that die come back at once. */
  readonly respawns?: boolean
}

export interface ModelOptions extends Partial<Pick<Manifest, 'privateBytes' | 'blobs' | 'form'>> {
  readonly version?: string
  readonly isCompiled?: boolean
  readonly probe?: Partial<ProbeResult>
  readonly batching?: Partial<ModelSettings['batching']>
  readonly deadlineMs?: number
}

/** A request under way or done. */
export class Asked {
  readonly body: string
  readonly answer: Promise<InferAnswer>
  readonly #abort: AbortController
  outcomes = 0
  ok: InferAnswer | undefined
  error: GatewayError | undefined

  constructor(body: string, answer: Promise<InferAnswer>, abort: AbortController) {
    this.body = body
    this.answer = answer
    this.#abort = abort
    detach(this.#watch())
  }

  /** `pending`, the cache outcome of an answer, or the code of an error. */
  get state(): string {
    return this.error?.code ?? this.ok?.served.cache ?? 'pending'
  }

  get text(): string | undefined {
    return this.ok?.body.toString()
  }

  leave(): void {
    this.#abort.abort()
  }

  async #watch(): Promise<void> {
    try {
      this.ok = await this.answer
    } catch (error) {
      assert.ok(error instanceof GatewayError, `${String(error)} is no GatewayError`)
      this.error = error
    }
    this.outcomes++
  }
}

export type ReplicaScene = ReturnType<typeof replicaScene>

export function replicaScene(options: SceneOptions = {}) {
  const clock = new ManualClock()
  const artifacts = new ScriptedArtifacts()
  const events: CacheEvent[] = []
  const openFailures: string[] = []
  const spare = new ScriptedSpare()
  const shelf = options.shelf ?? new QuarantineShelf()
  /** What became of models under suspicion, in order. */
  const blamed: string[] = []
  const hangs: string[] = []
  const stuck: string[] = []
  const deviceEvents: string[] = []
  /** Of fetches, by key. */
  const progress = new Map<string, FetchProgress>()
  /** Versions whose settings changed, by key. */
  const changed = new Map<string, ModelVersion>()
  const rooms = replicaRooms({
    id: 'replica-1',
    clock,
    config: {
      server: DEFAULTS.server,
      worker: { ...DEFAULTS.worker, ...options.worker },
      quarantine: { ...DEFAULTS.quarantine, ...options.quarantine },
      cache: { ...DEFAULTS.cache, minResidencyMs: 0, ...options.cache },
      scheduler: { ...DEFAULTS.scheduler, ...options.scheduler },
    },
    memoryBytes: options.memoryBytes ?? 100 * MiB,
    ...(options.deviceBytes !== undefined && { device: { index: 0, budgetBytes: options.deviceBytes } }),
    maxMappings: options.maxMappings ?? 10_000,
    artifacts,
    blame: {
      spare,
      records: shelf,
      initial: [...shelf.files.values()],
      conditions: { work: 'engine 1', compile: 'engine 1, limits 1' },
      verify: (artifact) => artifacts.verify(artifact),
    },
    stage: artifacts.stage,
    current: (version) => changed.get(version.key) ?? version,
    progressOf: (key) => progress.get(key),
    // The upper end of the jitter, so that pauses are round numbers.
    random: () => 1,
    watch: {
      onCacheEvent: (event) => events.push(event),
      onLoadEnded: () => {},
      onOpened: () => {},
      onOpenFailed: (key, { code }) => openFailures.push(`${nameOf(key)} ${code}`),
      onHang: (workerId) => hangs.push(workerId),
      onDeviceEvicted: ({ key }) => deviceEvents.push(`evicted ${key.slice(0, key.indexOf('#'))}`),
      onDeviceOutOfMemory: (key, when) => deviceEvents.push(`out of memory ${when} ${key.slice(0, key.indexOf('#'))}`),
      onStuck: (slot) => stuck.push(slot),
      onDeviceExhausted: (workerId) => deviceEvents.push(`exhausted ${workerId}`),
      onHandedBack: () => {},
      onSuspects: (key, requests, { cause }) => blamed.push(`suspects ${nameOf(key)} x${requests} ${cause}`),
      onTried: (verdict) => blamed.push(verdict),
      onUnverified: (key) => blamed.push(`unverified ${nameOf(key)}`),
      onStruck: ({ key }, { reason, phase }, counting) =>
        blamed.push(`struck ${nameOf(key)} ${reason} ${phase} ${counting}`),
      onQuarantined: ({ key, code }) => blamed.push(`quarantined ${nameOf(key)} ${code}`),
      onReleased: ({ key }, reason) => blamed.push(`released ${nameOf(key)} ${reason}`),
      onQuarantineUnwritten: ({ key }) => blamed.push(`unwritten ${nameOf(key)}`),
    },
  })
  const workers = Array.from({ length: options.workers ?? 1 }, (_, i) => new ScriptedWorker(`worker-${i}`))
  for (const worker of workers) {
    rooms.workerUp(worker)
    // As the pool does it: the next process is there at once.
    worker.onDied = (reason) => {
      // At once, as a process in reserve is: what the dead one was at learns of it later.
      if (options.respawns === true || reason === 'rebind') scene.replace(worker)
    }
  }

  let asked = 0
  const scene = {
    ...rooms,
    clock,
    artifacts,
    changed,
    events,
    openFailures,
    hangs,
    stuck,
    deviceEvents,
    progress,
    workers,
    spare,
    shelf,
    blamed,

    /** A model that the store has; of 1 MiB private and a tensor file of 1 MiB unless told otherwise. */
    model(name: string, given: ModelOptions = {}): ModelVersion {
      const { version = '1', isCompiled = false, probe, batching, deadlineMs, ...changes } = given
      const plain = modelVersion(name, version)
      const artifact = `${name}-${version}`
      const recipe = manifest(artifact, {
        privateBytes: MiB,
        blobs: [{ digest: `tensors of ${artifact}`, bytes: MiB }],
        ...changes,
        ...(probe !== undefined && { probe: probeResult(probe) }),
      })
      artifacts.recipes.set(plain.sourceId, recipe)
      if (isCompiled) artifacts.compiled.set(plain.sourceId, recipe)
      const settings = { ...PLAIN_SETTINGS, batching: { ...PLAIN_SETTINGS.batching, ...batching } }
      return { ...plain, settings: deadlineMs === undefined ? settings : { ...settings, deadlineMs } }
    },

    ask(
      version: ModelVersion,
      given: Partial<Pick<InferRequest, 'timeoutMs' | 'ifAbsent' | 'coldStart'>> & { body?: string } = {},
    ) {
      const { body = `body-${asked++}`, ifAbsent = 'load', ...rest } = given
      const bytes = Buffer.from(body)
      const abort = new AbortController()
      const answer = rooms.replica.infer(version, {
        requestId: body,
        ref: { name: version.name, version: version.version },
        body: [bytes],
        bodyBytes: bytes.length,
        ifAbsent,
        signal: abort.signal,
        ...rest,
      })
      return new Asked(body, answer, abort)
    },

    /** Lets everything happen that no gate and no timer holds back. */
    async settle(): Promise<void> {
      for (let turn = 0; turn < TURNS; turn++) await settle()
    },

    /** Asks for a model and sees that it is answered. */
    async answered(version: ModelVersion): Promise<Asked> {
      const one = scene.ask(version)
      await scene.settle()
      assert.equal(one.text, `${version.name}-${version.version}.onnx ${one.body}`, one.error?.message ?? one.state)
      return one
    },

    home(version: ModelVersion): ScriptedWorker {
      const id = rooms.queues.homeOf(version.key)
      const home = workers.find((worker) => worker.id === id)
      assert.ok(home, 'no worker is up')
      return home
    },

    /** The first worker that is not the model's home. */
    away(version: ModelVersion): ScriptedWorker {
      const away = workers.find((worker) => worker !== scene.home(version))
      assert.ok(away, 'there is only one worker')
      return away
    },

    /** The worker's process ends, and the replica is told. */
    kill(worker: ScriptedWorker): void {
      worker.die()
      rooms.workerDown(worker.id)
    },

    /** The replica is told of a death, and another process comes up. */
    replace(worker: ScriptedWorker): void {
      rooms.workerDown(worker.id)
      scene.respawn(worker)
    },

    respawn(worker: ScriptedWorker): void {
      worker.respawn()
      rooms.workerUp(worker)
    },

    /** Ids of the workers in which a model is open or being opened or closed. */
    places(version: ModelVersion): string[] {
      return Array.from(rooms.placements.ofKey(version.key), ({ workerId }) => workerId).toSorted()
    },

    /** Nothing goes on any more: nobody waits, holds or is counted, no timer is set, and workers have open what is known to be. */
    async end(): Promise<void> {
      await scene.settle()
      // The last look at the queues.
      await clock.advance(20)
      // Whatever is left beside the look for hanging workers, which ends with the dispatcher, belongs to nobody.
      rooms.dispatcher.close()
      rooms.quarantine.close()
      assert.equal(rooms.trials.waiting, 0, 'suspects')
      assert.equal(clock.pendingTimers, 0, 'timers')
      assert.equal(rooms.dispatcher.pending, 0, 'requests in the dispatcher')
      assert.equal(rooms.queues.depth, 0, 'queued requests')
      assert.equal(rooms.loads.running, 0, 'loads')
      assert.deepEqual(rooms.occupancy.total, { requests: 0, bytes: 0 })
      assert.deepEqual(rooms.sessions.pending, { opens: 0, closes: 0, uses: 0 })
      assertCacheAtRest(rooms.table, rooms.ledger)
      const held = Array.from(rooms.residents.values(), ({ manifest: { artifact } }) => artifact).toSorted()
      assert.deepEqual(artifacts.held, held, 'artifacts held are those of resident models')
      for (const { id, sessions } of [...workers, ...spare.lives]) {
        const known = Array.from(rooms.placements.ofWorker(id), (placement) => placement.id).toSorted(byNumber)
        assert.deepEqual([...sessions.keys()].toSorted(byNumber), known, `sessions of ${id}`)
      }
    },
  }
  return scene
}

/** Name and version of a key. */
function nameOf(key: string): string {
  return key.slice(0, key.indexOf('#'))
}

function byNumber(a: number, b: number): number {
  return a - b
}

/** @returns the error; fails when the promise is fulfilled or the error has another code */
export async function refused(promise: Promise<unknown>, code: ErrorCode): Promise<GatewayError> {
  const error = await promise.then(
    () => assert.fail(`expected ${code}, and it succeeded`),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof GatewayError, String(error))
  assert.equal(error.code, code, error.message)
  return error
}

function probeResult(changes: Partial<ProbeResult>): ProbeResult {
  return {
    isBatchSafe: true,
    batchReason: 'draws agree',
    privateBytes: MiB,
    activationBytes: [0, 0],
    runMs: 2,
    mappings: 3,
    packed: { openMs: 10, runMs: 1, privateBytes: 2 * MiB, paysAfterRuns: null },
    ...changes,
  }
}
