/** Everything behind HTTP: artifacts, registry, one replica, pins and rollouts, and the router over them. */
import { join } from 'node:path'
import { SharedArtifacts } from '../artifact/shared-artifacts.ts'
import { OrphanGuard } from '../child/orphan-guard.ts'
import { Pins } from '../control/pins.ts'
import { Rollouts } from '../control/rollout.ts'
import { parseModelRef } from '../domain/model-ref.ts'
import { detach } from '../lib/detach.ts'
import type { Registry } from '../registry/registry.ts'
import { currentVersion } from '../registry/registry.ts'
import type { Gateway } from '../routing/gateway.ts'
import type { VersionDirectory } from '../routing/replica-client.ts'
import { Router } from '../routing/router.ts'
import { ChildLines } from '../telemetry/child-lines.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { observeProcess } from '../telemetry/process-metrics.ts'
import { probeDevice } from '../worker/device-probe.ts'
import { artifactOptions } from './artifact-options.ts'
import { JOURNAL_FOLDER } from './cache-layout.ts'
import { chooseDevice } from './choose-device.ts'
import { eventSink } from './event-sink.ts'
import { openFleetPlace } from './fleet-place.ts'
import type { ModelSource } from './model-source.ts'
import { openModelSource } from './model-source.ts'
import type { RunningReplica } from './replica.ts'
import { startReplica } from './replica.ts'
import { replicaId } from './replica-id.ts'
import type { ServerBase } from './server-base.ts'
import type { Tracing } from './tracing.ts'
import { startTracing } from './tracing.ts'
import { version } from './version.ts'

/** What HTTP stands in front of. */
export interface RunningGateway {
  readonly running: RunningReplica
  readonly tracing: Tracing | undefined
  readonly gateway: Gateway
  /** Versions that the registry lists. */
  readonly registered: () => number
}

/** Pins and rollouts are tried again for as long as they stand, at most this far apart. */
const RETRY = { baseMs: 1000, maxMs: 60_000 }
/** In the cache folder, beside the artifacts. */
const JOURNAL_CLOSE_MS = 1000
const NEVER = new AbortController().signal
/** Records of models that are gone are looked for once a day. */
const QUARANTINE_SWEEP_MS = 86_400_000

/** Whatever it started is for `teardown` to end, also when it throws. */
export async function startGateway(base: ServerBase): Promise<RunningGateway> {
  const { config, clock, log, metrics, teardown } = base
  const { cache } = config
  const onEvent = eventSink(log)
  const childLines = new ChildLines(log, clock)
  const orphans = new OrphanGuard(clock)
  teardown.add(() => orphans.close())
  const { device, reason } = await chooseDevice(config.device.use, (one) =>
    probeDevice(one, { clock, onLine: (line) => childLines.line(`probe of ${one}`, line) }),
  )
  log.event('device.chosen', { device, wanted: config.device.use, reason })
  const shared = await openFleetPlace(config, clock)
  teardown.add(() => shared?.close())
  let filesDamaged = (_paths: readonly string[]): void => {}
  let spareDisk = (_bytes: number): Promise<number> => Promise.resolve(0)
  const artifacts = await SharedArtifacts.open({
    ...artifactOptions(config, device),
    fleet: shared?.fleet,
    onCorrupt: (paths) => filesDamaged(paths),
    spareDisk: (bytes) => spareDisk(bytes),
    version,
    clock,
    spawn: orphans.spawn,
    random: Math.random,
    // Of several processes on the folder, the one that owns it keeps the journal there.
    onOwned: () => base.journal.open(join(cache.dir, JOURNAL_FOLDER)),
    onDisowned: () => base.journal.close(JOURNAL_CLOSE_MS),
    onEvent,
    onLine: (pid, line) => childLines.line(`compiler-${pid}`, line),
  })
  teardown.add(() => artifacts.close())
  teardown.add(observeProcess(metrics, { version, onnxruntime: artifacts.ortVersion, device }))

  const source = await openModelSource(config, { clock, onEvent })
  teardown.add(() => source.close())
  const { registry, store, watched, staging } = source
  // What was fetched can be fetched again; the disk's refusal to give it up is told when the compile meets it.
  spareDisk = async (bytes) => (await staging?.makeRoom(bytes).catch(() => 0)) ?? 0
  const rollouts: Rollouts = new Rollouts({
    resolve: (ref) => registry.resolve(ref),
    aliasesOf: (name) => [...registry.aliasesOf(name).keys()],
    isResident: (key) => replica.stateOf(key).state === 'READY',
    load: (one) => replica.load(one, NEVER),
    retire: (key) => replica.retire(key),
    onMoved: () => pins.refresh(),
    retry: RETRY,
    clock,
    random: Math.random,
    onEvent,
  })
  teardown.add(() => rollouts.close())
  const id = await replicaId(cache.dir, artifacts.role === 'owner')
  const tracing = await startTracing(config.telemetry.traces, { clock, log, metrics, replica: id, random: Math.random })
  teardown.add(() => tracing?.close())
  const running = await startReplica({
    id,
    config,
    device,
    clock,
    artifacts,
    stage: (one, signal) => store.stage(one, signal),
    current: (one) => currentVersion(registry, one),
    progressOf: (key) => store.progressOf(key),
    stagedBytes: async () => await staging?.usedBytes().catch(() => undefined),
    log,
    metrics,
    childLines,
    spawn: orphans.spawn,
    activities: base.activities,
    loadSpans: tracing?.loads,
    keyOf: (name, number) => keyIn(registry, name, number),
    onResident: (one) => rollouts.watch(one),
    onGone: (one) => rollouts.forget(one),
    onReleased: (key) => rollouts.again(key),
  })
  const { replica, quarantine } = running
  filesDamaged = (paths) => running.filesDamaged(paths)
  // Runs before the artifacts close; a server that drained has stopped it already.
  teardown.add(() => running.stop(0))
  const pins: Pins = new Pins({
    refs: cache.pins.map(parseModelRef),
    resolve: (ref) => rollouts.resolve(ref),
    pin: (one) => replica.pin(one, NEVER),
    unpin: (key) => replica.unpin(key),
    retry: RETRY,
    clock,
    random: Math.random,
    onEvent,
  })
  teardown.add(() => pins.close())
  // A registry that never answered, or was closed before, knows of nothing that it is gone.
  const sweepQuarantine = () =>
    quarantine.sweep(
      ({ model, key }) => !registry.hasScanned(model) || registry.versionsOf(model).some((one) => one.key === key),
    )
  for (const one of watched) detach(one.registry.initialScan.then(sweepQuarantine))
  const sweeping = clock.every(QUARANTINE_SWEEP_MS, sweepQuarantine)
  teardown.add(() => sweeping.cancel())
  registry.onChange((change) => {
    // Thousands that were there at the start are one event of the scan.
    if (registry.hasScanned(change.version.name) && change.kind !== 'aliases')
      log.event(`model.${change.kind}`, { key: change.version.key })
    if (change.kind === 'changed' && change.previous.key === change.version.key) running.applySettings(change.version)
    else rollouts.refresh(change.version.name)
    if (registry.versionsOf(change.version.name).length === 0) base.modelMetrics?.forget(change.version.name)
    pins.refresh()
  })
  metrics.observe('modelmux_models_registered', () => registry.size.versions)
  observeRegistries(metrics, watched)
  await registry.start()
  teardown.add(() => registry.close())

  const directory: VersionDirectory = {
    resolve: (ref) => rollouts.resolve(ref),
    versionsOf: (name) => registry.versionsOf(name),
    aliasesOf: (name) => Object.fromEntries(registry.aliasesOf(name)),
    names: () => registry.names(),
    list: () => registry.list(),
  }
  return { running, tracing, gateway: new Router(directory, replica), registered: () => registry.size.versions }
}

/** Undefined when the registry does not have the version, or not yet. */
function keyIn(registry: Registry, name: string, number: string): string | undefined {
  return registry.versionsOf(name).find((one) => one.version === number)?.key
}

function observeRegistries(metrics: Metrics, watched: ModelSource['watched']): void {
  const seconds = (ms: (one: ModelSource['watched'][number]['registry']) => number | undefined) => () =>
    watched.flatMap(({ prefix, registry }) => {
      const value = ms(registry)
      return value === undefined ? [] : [[{ prefix }, value / 1000] as const]
    })
  metrics.observe(
    'modelmux_registry_scan_seconds',
    seconds(({ lastScanMs }) => lastScanMs),
  )
  metrics.observe(
    'modelmux_registry_age_seconds',
    seconds(({ ageMs }) => ageMs),
  )
}
