/** `modelmux publish`: a folder becomes a version of a model in S3, or in an MLflow registry. */
import type { WriteStream } from 'node:tty'
import { ConfigError } from '../config/config-error.ts'
import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import type { TerminalFacts } from '../config/terminal.ts'
import { terminalFacts } from '../config/terminal.ts'
import type { MlflowModelPlace } from '../domain/mlflow-uri.ts'
import { isS3Uri, parseS3Folder, type S3Folder, s3Location } from '../domain/s3-uri.ts'
import type { SplitModelFile } from '../domain/split-model.ts'
import { formatByteSize } from '../lib/byte-size.ts'
import type { Clock } from '../lib/clock.ts'
import { systemClock } from '../lib/clock.ts'
import { type PublishProgress, sumBytes } from './local-version.ts'
import { ProgressLine } from './progress-line.ts'
import { isAround, PUBLISH_HELP, type PublishFlags, parsePublishFlags } from './publish-flags.ts'
import type { Published } from './publish-s3.ts'
import { visible } from './text.ts'
import { UPLOAD_LIMITS } from './upload-limits.ts'
import { UsageError } from './usage-error.ts'

export interface PublishStreams {
  readonly output: { write(text: string): unknown }
  readonly errors: WriteStream
  readonly facts: TerminalFacts
  readonly clock: Clock
}

export interface PublishMeans extends PublishStreams {
  readonly split: SplitModelFile
}

const FAILED = 1
const BAD_USAGE = 2
const EXISTS = 3
/** @returns the exit code: 0 it is there, 1 it failed, 2 bad usage, 3 another version of that number is there */
export async function publishCommand(
  args: readonly string[],
  interrupt: AbortSignal,
  means: PublishMeans,
): Promise<number> {
  const { output, errors } = means
  try {
    const flags = parsePublishFlags(args)
    if (flags.printsHelp) output.write(PUBLISH_HELP)
    else if (flags.mlflow === undefined) output.write(report(flags, await publish(flags, interrupt, means)))
    else output.write(await publishIntoMlflow(flags, flags.mlflow, interrupt, means))
    return 0
  } catch (error) {
    if (error instanceof UsageError || error instanceof ConfigError) {
      errors.write(`modelmux: ${error.message}\n`)
      return BAD_USAGE
    }
    if (interrupt.aborted) errors.write('modelmux: interrupted; what was uploaded so far does no harm\n')
    else if (isExpected(error)) errors.write(`modelmux: ${visible(error.message)}\n`)
    else throw error
    return isExpected(error) && error.name === 'VersionExistsError' ? EXISTS : FAILED
  }
}

async function publish(
  flags: PublishFlags,
  signal: AbortSignal,
  { errors, facts, clock, split }: PublishMeans,
): Promise<Published> {
  const file = flags.configFile === undefined ? {} : { configFile: flags.configFile }
  const config = loadConfig({ flags: { fields: [], ...file }, folders: 'ignore' })
  const { endpoint, region, pathStyle } = config.store.s3
  const { maxNodes, extraDomains } = config.artifact
  const share = flags.sharesBlobs ? { share: { root: rootOf(flags, config), split, maxNodes, extraDomains } } : {}
  // The SDK takes a tenth of a second: a mistyped command is answered without.
  const [{ S3 }, { S3Writer }, { publishToS3 }] = await Promise.all([
    import('../clients/s3.ts'),
    import('../clients/s3-writer.ts'),
    import('./publish-s3.ts'),
  ])
  const options = { endpoint, region, pathStyle, clock, ...UPLOAD_LIMITS }
  const s3 = new S3(options)
  const writer = new S3Writer(options)
  const line = new ProgressLine(errors, facts, clock)
  try {
    const onProgress = ({ step, bytesDone, bytes }: PublishProgress) => {
      if (!flags.isJson) line.show(step, bytesDone, bytes)
    }
    return await publishToS3(s3, writer, { ...flags, ...share, onProgress }, signal)
  } finally {
    line.clear()
    s3.close()
    writer.close()
  }
}

/** @returns the report */
async function publishIntoMlflow(
  flags: PublishFlags,
  place: MlflowModelPlace,
  signal: AbortSignal,
  { errors, facts, clock }: PublishMeans,
): Promise<string> {
  const { openMlflowTarget, mlflowReport } = await import('./mlflow-target.ts')
  const file = flags.configFile === undefined ? {} : { configFile: flags.configFile }
  const target = openMlflowTarget(place, loadConfig({ flags: { fields: [], ...file }, folders: 'ignore' }), clock)
  const line = new ProgressLine(errors, facts, clock)
  try {
    const onProgress = ({ step, bytesDone, bytes }: PublishProgress) => {
      if (!flags.isJson) line.show(step, bytesDone, bytes)
    }
    const { dir, aliases, isJson } = flags
    return mlflowReport(target.place, await target.publish({ dir, aliases, onProgress }, signal), isJson)
  } finally {
    line.clear()
    await target.close()
  }
}

/** Blobs are looked for where the server looks. @throws UsageError when nothing says where that is */
function rootOf(flags: PublishFlags, { store }: Config): S3Folder {
  if (flags.root !== undefined) return flags.root
  const places = [store.models, ...store.sources.map(({ models }) => models)].filter(isS3Uri).map(parseS3Folder)
  const configured = places.find((place) => isAround(place, flags))
  if (configured !== undefined) return configured
  throw new UsageError(
    '--share-blobs wants the models folder that the server serves, as in --root s3://bucket/prefix, or the configuration of that server',
  )
}

function report(flags: PublishFlags, { files, shared, removed, movedAliases }: Published): string {
  const place = s3Location(flags.bucket, flags.prefix)
  const uploaded = [...files, ...shared].filter(({ isUploaded }) => isUploaded)
  const bytes = sumBytes(files) + sumBytes(shared)
  const uploadedBytes = sumBytes(uploaded)
  if (flags.isJson)
    return `${JSON.stringify({ place, version: flags.version, bytes, uploadedBytes, files, shared, removed, movedAliases })}\n`
  const all = `${files.length + shared.length} files`
  const lines = [
    uploaded.length === 0
      ? `${place} was there already, ${all} of ${formatByteSize(bytes)}`
      : `published ${place}: ${uploaded.length} of ${all} uploaded, ${formatByteSize(uploadedBytes)} of ${formatByteSize(bytes)}`,
    ...removed.map((path) => `removed ${path}`),
    ...movedAliases.map((alias) => `alias ${alias} names version ${flags.version}`),
  ]
  return `${lines.map(visible).join('\n')}\n`
}

/** Errors that are about the place, the folder or the connection, not about this program. */
function isExpected(error: unknown): error is Error {
  return (
    error instanceof Error &&
    ['S3Error', 'MlflowError', 'NotPublishableError', 'VersionExistsError'].includes(error.name)
  )
}

/** Of this process. */
export function standardStreams(): PublishStreams {
  return { output: process.stdout, errors: process.stderr, facts: terminalFacts(), clock: systemClock }
}
