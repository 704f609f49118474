/**
 * Turns an examined source into an artifact's files, in the compiler child: optimise, move the big tensors out, open what came of it
 * as workers will, and compare answers. What cannot be made `mapped` becomes `plain`; only what the engine cannot open at all, or what
 * goes over the memory cap, is an error. The manifest is the parent's to write, last.
 */
import { mkdirSync, renameSync, rmSync, statfsSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { killPoint } from '../child/kill-points.ts'
import { readProcessMemory } from '../child/memory.ts'
import { isGpu } from '../domain/device.ts'
import { isDeviceOutOfMemory } from '../domain/device-memory.ts'
import type { ErrorCode } from '../domain/errors.ts'
import { asGatewayError, GatewayError } from '../domain/errors.ts'
import type { Signature } from '../domain/tensor-types.ts'
import { EngineSession } from '../engine/session.ts'
import { compileOptions, mappedOptions, plainOptions } from '../engine/session-options.ts'
import { BlobStore } from './blob-store.ts'
import type { CheckResult } from './check.ts'
import { checkAnswers, isOutOfMemory } from './check.ts'
import type { CompileCall, CompileReply } from './compiler-protocol.ts'
import { checkOnDevice } from './device-check.ts'
import { walkFile } from './examine-job.ts'
import { ExternalWindows } from './external-windows.ts'
import { decodeGiven } from './given-inputs.ts'
import { graphFile } from './layout.ts'
import { PhaseWatch } from './phase-watch.ts'
import { copyPlain } from './plain-copy.ts'
import { withFile } from './range-reader.ts'
import { diskFull, isSystemError, refusal } from './refusal.ts'
import { writeMoved } from './rewrite.ts'

const SAVED_DATA = 'saved.data'
/** What a compile writes at most, measured in its source. */
const SAVED_PER_SOURCE = 2
/** From here on saving tensors in a file of their own is the faster way: 145 ms instead of 265 for a 90 MB encoder, as protobuf copies nothing. */
const FASTER_OUTSIDE_BYTES = 4 * 2 ** 20
/** A session costs at least this much; and freed memory of the child's earlier jobs hides what a small one takes. */
const SESSION_BASE_BYTES = 128 * 1024

type Mapped = Pick<CompileReply, 'graph' | 'blobs' | 'check' | 'privateBytes' | 'signature'>

interface Job {
  readonly call: CompileCall
  /** Absolute path of the model file. */
  readonly source: string
  /** A folder of this job alone. */
  readonly staging: string
  readonly watch: PhaseWatch
  /** Called before the model runs on inputs that were made up. */
  readonly onCheck: () => void
}

/** `staging`: a folder on the cache's file system for this job alone, gone when it ends. @throws GatewayError ARTIFACT_INVALID */
export async function compile(call: CompileCall, staging: string, onCheck: () => void): Promise<CompileReply> {
  mkdirSync(staging, { recursive: true })
  killPoint('staging')
  const job: Job = { call, source: join(call.dir, call.modelFile), staging, watch: new PhaseWatch(), onCheck }
  try {
    return isGpu(call.device) ? await onDevice(job, await compileOnce(job)) : await compileOnce(job)
  } catch (error) {
    if (!isDeviceOutOfMemory(error)) throw error
    const message = `${call.device} has no memory left to compile the model on, beside what is open there; it is tried again`
    throw new GatewayError('MODEL_LOAD_FAILED', message, {}, { cause: error.cause })
  } finally {
    rmSync(staging, { recursive: true, force: true })
  }
}

async function compileOnce(job: Job): Promise<CompileReply> {
  const { call, watch } = job
  const attempt = await compileInSomeForm(job)
  if (!(attempt instanceof PlainReason)) {
    return { form: 'mapped', file: graphFile(call.artifact), ...attempt, timings: watch.timings }
  }
  rmSync(join(call.cache, graphFile(call.artifact)), { force: true })
  throwIfShortOfDisk(job)
  return await compilePlain(job, attempt.reason)
}

/** The engine does not say when it was the disk that did not take what it saved: that is no reason to keep a model plain for ever. */
function throwIfShortOfDisk({ call, staging }: Job): void {
  const { bavail, bsize } = statfsSync(staging)
  if (bavail * bsize < SAVED_PER_SOURCE * call.bytes) throw diskFull()
}

async function onDevice(job: Job, reply: CompileReply): Promise<CompileReply> {
  const { call, source, watch, onCheck } = job
  const { needsCpu } = await checkOnDevice(call, reply, source, onCheck)
  watch.mark('device')
  return { ...reply, needsCpu, timings: watch.timings }
}

/** Why a source cannot be mapped. */
class PlainReason {
  readonly reason: string

  constructor(reason: string) {
    this.reason = reason
  }
}

/** The engine saves tensors outside where it must, and where that is faster and known to work; else, and if that fails, in one piece. */
async function compileInSomeForm(job: Job): Promise<Mapped | PlainReason> {
  const { call, staging } = job
  if (call.bytes > call.inlineLimitBytes) return await compileMapped(job, true)
  if (call.hasBodies !== false || call.bytes < FASTER_OUTSIDE_BYTES) return await compileMapped(job, false)
  const attempt = await compileMapped(job, true)
  if (!(attempt instanceof PlainReason)) return attempt
  rmSync(staging, { recursive: true, force: true })
  mkdirSync(staging)
  return await compileMapped(job, false)
}

async function compileMapped(job: Job, isExternal: boolean): Promise<Mapped | PlainReason> {
  const { call, source, staging, watch } = job
  const saveTo = join(staging, 'saved.onnx')
  let reference: EngineSession
  try {
    reference = await EngineSession.open(
      source,
      compileOptions({ saveTo, device: call.device, ...(isExternal && { externalFile: SAVED_DATA }) }),
    )
  } catch (error) {
    throwIfFinal(error)
    return new PlainReason(`the engine cannot save it optimised: ${wordsOf(error)}`)
  }
  watch.mark('optimise')
  killPoint('optimise')
  try {
    // What `.ort` held is walked in the form that will be opened; a refusal of it is final, whatever would open.
    const declared =
      call.signature ?? walkFile(staging, 'saved.onnx', { limits: call.limits, allowHardLinks: false }).facts.signature
    return await moveOrGiveUp(job, declared, reference)
  } finally {
    await reference.release()
  }
}

async function moveOrGiveUp(...args: Parameters<typeof moveAndCheck>): Promise<Mapped | PlainReason> {
  try {
    return await moveAndCheck(...args)
  } catch (error) {
    throwIfFinal(error)
    return new PlainReason(wordsOf(error))
  }
}

async function moveAndCheck(job: Job, declared: Signature, reference: EngineSession): Promise<Mapped | PlainReason> {
  const { call, staging, watch } = job
  const blobs = new BlobStore(call.cache, staging)
  const graph = moveTensors(job, blobs)
  watch.mark('move')
  const path = join(call.cache, graphFile(call.artifact))
  renameSync(join(staging, 'graph.onnx'), path)
  killPoint('graph')
  const before = await privateBytes()
  const candidate = await EngineSession.open(
    path,
    mappedOptions({ isPacked: false, intraOpThreads: call.intraOpThreads, device: call.device }),
  )
  watch.mark('open')
  try {
    const signature = withShapes(declared, candidate.signature)
    const given = decodeGiven(call, signature)
    const terms = { signature, given, madeUp: call.madeUp, onMadeUp: job.onCheck }
    const { check, problem }: CheckResult = await checkAnswers(reference, candidate, terms)
    if (problem !== undefined) return new PlainReason(`the artifact's answers differ from the original's: ${problem}`)
    const grown = (await privateBytes()) - before
    watch.mark('check')
    killPoint('check')
    return {
      graph,
      blobs: blobs.blobs,
      check,
      signature,
      privateBytes: Math.max(grown, 2 * graph.bytes + SESSION_BASE_BYTES),
    }
  } finally {
    await candidate.release()
  }
}

function moveTensors({ call, staging }: Job, blobs: BlobStore): CompileReply['graph'] {
  // A save that is not external still refers to the source's data files for tensors that the optimiser left as they were.
  const paths = new Map([[SAVED_DATA, join(staging, SAVED_DATA)]])
  for (const path of call.files.slice(1)) paths.set(relative(dirname(call.modelFile), path), join(call.dir, path))
  const external = new ExternalWindows(paths)
  try {
    return withFile(join(staging, 'saved.onnx'), (window) =>
      writeMoved(window, join(staging, 'graph.onnx'), { blobs, minBytes: call.minBlobBytes, external }),
    )
  } finally {
    external.close()
  }
}

/** The original opened in full; if even that fails, the model is no good. */
async function compilePlain(job: Job, plainReason: string): Promise<CompileReply> {
  const { call, source, staging, watch } = job
  const before = await privateBytes()
  let session: EngineSession
  try {
    session = await EngineSession.open(
      source,
      plainOptions({ intraOpThreads: call.intraOpThreads, device: call.device }),
    )
  } catch (error) {
    throwIfFinal(error)
    throw refusal(
      `the engine cannot open '${call.modelFile}': ${wordsOf(error)}`,
      undefined,
      asGatewayError(error).cause,
    )
  }
  try {
    const grown = (await privateBytes()) - before
    const signature = call.signature === undefined ? session.signature : withShapes(call.signature, session.signature)
    const { file, graph, files } = copyPlain(call.cache, staging, call.artifact, call.dir, call.files)
    watch.mark('plain')
    return {
      form: 'plain',
      plainReason,
      file,
      graph,
      blobs: [],
      files,
      signature,
      check: 'first-request',
      privateBytes: Math.max(grown, call.bytes + SESSION_BASE_BYTES),
      timings: watch.timings,
    }
  } finally {
    await session.release()
  }
}

/** The engine infers shapes of outputs that the model leaves open. */
function withShapes(declared: Signature, inferred: Signature): Signature {
  const shapes = new Map(inferred.outputs.map((output) => [output.name, output.shape]))
  return {
    inputs: declared.inputs,
    outputs: declared.outputs.map((output) =>
      output.shape.length > 0 ? output : { ...output, shape: shapes.get(output.name) ?? [] },
    ),
  }
}

async function privateBytes(): Promise<number> {
  return (await readProcessMemory('self'))?.privateBytes ?? 0
}

function throwIfFinal(error: unknown): void {
  // A full disk or a vanished file is no fault of the model's.
  if (isSystemError(error)) throw error
  if (isRefusal(error) || isDeviceOutOfMemory(error)) throw error
  if (isOutOfMemory(error))
    throw refusal(
      'compiling the model wants more memory than artifact.compileMemoryBytes allows; make it smaller, or raise the cap',
      { strike: 'memory' },
      asGatewayError(error).cause,
    )
  if (PASSING.has(asGatewayError(error).code)) throw error
}

/** What will be otherwise at another time: no reason to keep the model plain for ever. */
const PASSING: ReadonlySet<ErrorCode> = new Set(['MODEL_LOAD_FAILED', 'MODEL_LOADING'])

/** Refusals of this room carry details; what the engine refuses is judged by whether the original opens. */
function isRefusal(error: unknown): error is GatewayError {
  return asGatewayError(error).facts.details?.strike !== undefined
}

/** The first line of the engine's words, without the place in its source. */
function wordsOf(error: unknown): string {
  const { message, cause } = error instanceof Error ? error : new Error(String(error))
  const text = cause instanceof Error ? cause.message : message
  return (text.split('\n')[0] ?? '')
    .replace(/^\/onnxruntime_src\S+ .*?\) /, '')
    .replace(/^Load model from \S+ failed:\s*/, '')
    .slice(0, 400)
}
