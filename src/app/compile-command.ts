/** `modelmux compile`: models of a registry become compiled ones in a cache folder, and in the fleet's cache, before anybody asks for them. */
import { FolderInUseError, FolderReadOnlyError } from '../artifact/folder-lock.ts'
import { SharedArtifacts } from '../artifact/shared-artifacts.ts'
import { COMPILE_HELP, type CompileFlags, parseCompileFlags } from '../cli/compile-flags.ts'
import { type CompiledModel, type CompileReport, compileJson, compileText, isComplete } from '../cli/compile-report.ts'
import { ProgressLine } from '../cli/progress-line.ts'
import { type PublishStreams, standardStreams } from '../cli/publish.ts'
import { UsageError } from '../cli/usage-error.ts'
import { ConfigError } from '../config/config-error.ts'
import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { asGatewayError, GatewayError } from '../domain/errors.ts'
import { parseModelRef } from '../domain/model-ref.ts'
import type { ModelVersion } from '../domain/model-version.ts'
import { within } from '../lib/clock.ts'
import { waitFor } from '../lib/wait-for.ts'
import type { Registry } from '../registry/registry.ts'
import { currentVersion } from '../registry/registry.ts'
import { probeDevice } from '../worker/device-probe.ts'
import { artifactOptions } from './artifact-options.ts'
import { chooseDevice } from './choose-device.ts'
import { compileModels } from './compile-models.ts'
import { openFleetPlace } from './fleet-place.ts'
import { openModelSource } from './model-source.ts'
import { Teardown } from './teardown.ts'
import { version } from './version.ts'

const FAILED = 1
const BAD_USAGE = 2
/** A registry of a million objects is listed by then; one that does not answer is given up. */
const REGISTRY_MS = 300_000

/** @returns the exit code: 0 all are compiled, 1 some are not, 2 bad usage */
export async function compileCommand(
  args: readonly string[],
  interrupt: AbortSignal,
  streams: PublishStreams = standardStreams(),
): Promise<number> {
  const { output, errors } = streams
  try {
    const flags = parseCompileFlags(args)
    if (flags.printsHelp) {
      output.write(COMPILE_HELP)
      return 0
    }
    const loaded = loadConfig({ flags, folders: 'check' })
    // What was published a moment ago is meant too. Half of a version fails, and is told.
    const config = { ...loaded, store: { ...loaded.store, settleMs: 0 } }
    const teardown = new Teardown()
    try {
      const report = await compileAll(flags, config, interrupt, streams, teardown)
      output.write(flags.isJson ? compileJson(report) : compileText(report))
      if (interrupt.aborted) errors.write('modelmux: interrupted; the next run goes on where this one was\n')
      return isComplete(report) && !interrupt.aborted ? 0 : FAILED
    } finally {
      await teardown.run()
    }
  } catch (error) {
    if (error instanceof UsageError || error instanceof ConfigError) {
      errors.write(`modelmux: ${error.message}\n`)
      return BAD_USAGE
    }
    if (interrupt.aborted) errors.write('modelmux: interrupted\n')
    else if (isExpected(error)) errors.write(`modelmux: ${error.message}\n`)
    else throw error
    return FAILED
  }
}

/** Whatever it started is for `teardown` to end. */
async function compileAll(
  flags: CompileFlags,
  config: Config,
  signal: AbortSignal,
  { errors, facts, clock }: PublishStreams,
  teardown: Teardown,
): Promise<CompileReport> {
  const onEvent = (): void => undefined
  const shared = await openFleetPlace(config, clock)
  teardown.add(() => shared?.close())
  const { device } = await chooseDevice(config.device.use, (one) => probeDevice(one, { clock, onLine: onEvent }))
  const artifacts = await SharedArtifacts.open({
    ...artifactOptions(config, device),
    fleet: shared?.fleet,
    version,
    clock,
    random: Math.random,
  })
  teardown.add(() => artifacts.close())
  const source = await openModelSource(config, { clock, onEvent })
  teardown.add(() => source.close())
  const { registry, store, watched } = source
  teardown.add(() => registry.close())
  await registry.start()
  await waitFor(within(REGISTRY_MS, clock, registry.initialScan), signal)
  if (watched.some((one) => one.registry.lastScanMs === undefined))
    throw new GatewayError(
      'REGISTRY_UNAVAILABLE',
      'it is not known which models there are: the registry does not answer',
    )
  const { versions, unknown } = wanted(registry, flags.refs)
  const bytes = versions.reduce((sum, one) => sum + one.bytes, 0)
  const line = new ProgressLine(errors, facts, clock)
  let bytesDone = 0
  const fleet = () => artifacts.store?.fleet
  const models = await compileModels(
    versions,
    {
      artifacts,
      store,
      current: (one) => currentVersion(registry, one),
      fleet,
      parallel: 2 * config.artifact.compilers + 2,
      onDone(one) {
        bytesDone += one.bytes
        if (!flags.isJson) line.show('compile', bytesDone, bytes)
      },
    },
    signal,
  )
  line.clear()
  await waitFor(Promise.resolve(fleet()?.idle()), signal).catch(() => {})
  return {
    models: [...models, ...unknown],
    sentBytes: fleet()?.bytes.sent ?? 0,
    notSent: [...(fleet()?.drops.values() ?? [])].reduce((sum, count) => sum + count, fleet()?.queued ?? 0),
    skipped: versions.length - models.length,
  }
}

/** A name alone stands for all its versions. */
function wanted(registry: Registry, refs: readonly string[]): { versions: ModelVersion[]; unknown: CompiledModel[] } {
  if (refs.length === 0) return { versions: [...registry.list()], unknown: [] }
  const versions = new Map<string, ModelVersion>()
  const unknown: CompiledModel[] = []
  for (const text of refs) {
    const ref = parseModelRef(text)
    const isAll = ref.version === undefined && ref.alias === undefined
    try {
      const one = registry.resolve(ref)
      for (const found of isAll ? registry.versionsOf(ref.name) : [one]) versions.set(found.key, found)
    } catch (error) {
      const { code, message } = asGatewayError(error)
      unknown.push({ model: text, outcome: 'failed', code, error: message })
    }
  }
  return { versions: [...versions.values()], unknown }
}

/** About the folder, the device or the registry, not about this program. */
function isExpected(error: unknown): error is Error {
  return error instanceof FolderInUseError || error instanceof FolderReadOnlyError || error instanceof GatewayError
}
