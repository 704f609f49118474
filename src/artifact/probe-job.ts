/** What one open session of an artifact costs and gives, measured in a child of its own lane after the first answer went out. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { countMappings, readProcessMemory } from '../child/memory.ts'
import { isGpu } from '../domain/device.ts'
import type { Tensor } from '../domain/tensor-types.ts'
import { EngineSession } from '../engine/session.ts'
import { mappedOptions, plainOptions } from '../engine/session-options.ts'
import { systemClock } from '../lib/clock.ts'
import { judgeBatchSafety } from './batch-safety.ts'
import { findSample } from './check.ts'
import type { ProbeCall, ProbeReply } from './compiler-protocol.ts'
import { walkFile } from './examine-job.ts'
import { decodeGiven } from './given-inputs.ts'
import { Random } from './random.ts'
import { sampleRows } from './sample-rows.ts'

const MAX_TIMED_RUNS = 9
/** Packing pays only where it saves this share of a run; less is noise. */
const MIN_GAIN = 0.05
const SEED = 2
/** At most so many copies, of so many bytes together, are open while one session is measured. */
const MAX_COPIES = 8
const COPIED_BYTES = 32 * 2 ** 20
/** What the smallest session takes; less is memory that an earlier one left. */
const SESSION_MIN_BYTES = 96 * 1024

/** @throws GatewayError ARTIFACT_INVALID when the artifact cannot be opened */
export async function probe(call: ProbeCall): Promise<ProbeReply> {
  const { facts } = walkFile(call.cache, call.file, { limits: call.limits, allowHardLinks: true })
  const unpacked = await openMeasured(call, false)
  try {
    const { session } = unpacked
    const { signature, madeUp } = call
    const found = await findSample(session, { signature, given: decodeGiven(call, signature), madeUp })
    const template = found?.sample.inputs
    const verdict = await judgeBatchSafety(session, signature, facts.batchHazards, template)
    const one = template === undefined ? undefined : rowsOf(template, 1, verdict.isBatchSafe)
    const two = template === undefined ? undefined : rowsOf(template, 2, verdict.isBatchSafe)
    const runMs = one === undefined ? 0 : await timedRun(session, one, call.budgetMs)
    const activationBytes = [await activation(session, one), await activation(session, two)] as const
    return {
      ...verdict,
      privateBytes: unpacked.privateBytes,
      activationBytes,
      runMs,
      mappings: unpacked.mappings,
      packed: await probePacked(call, one, unpacked, runMs),
    }
  } finally {
    await unpacked.session.release()
  }
}

interface Opened {
  readonly session: EngineSession
  readonly openMs: number
  readonly privateBytes: number
  readonly mappings: number
}

/**
 * Opens one session to keep and measures what it takes. A small one fits into what earlier ones freed, so small ones are opened several
 * at a time; the memory cap counts mapped weights too, so big ones are not.
 */
async function openMeasured(call: ProbeCall, isPacked: boolean): Promise<Opened> {
  const open = () => openOnce(call, isPacked)
  const copies = Math.max(1, Math.min(MAX_COPIES, Math.floor(COPIED_BYTES / call.bytes)))
  const [memory, mappings] = [await readProcessMemory('self'), await countMappings('self')]
  const started = systemClock.now()
  const sessions: EngineSession[] = []
  for (let i = 0; i < copies; i++) sessions.push(await open())
  const openMs = (systemClock.now() - started) / copies
  const [memoryAfter, mappingsAfter] = [await readProcessMemory('self'), await countMappings('self')]
  const [session, ...rest] = sessions
  for (const copy of rest) await copy.release()
  if (session === undefined) throw new RangeError('no session was opened')
  const grown = ((memoryAfter?.privateBytes ?? 0) - (memory?.privateBytes ?? 0)) / copies
  return {
    session,
    openMs,
    privateBytes: Math.round(Math.max(call.graphBytes + SESSION_MIN_BYTES, grown)),
    mappings: Math.max(0, Math.ceil((mappingsAfter - mappings) / copies)),
  }
}

function openOnce(call: ProbeCall, isPacked: boolean): Promise<EngineSession> {
  const { intraOpThreads, device } = call
  const options =
    call.form === 'mapped'
      ? mappedOptions({ isPacked, intraOpThreads, device })
      : plainOptions({ intraOpThreads, device })
  return EngineSession.open(join(call.cache, call.file), options)
}

async function probePacked(
  call: ProbeCall,
  inputs: readonly Tensor[] | undefined,
  unpacked: Opened,
  runMs: number,
): Promise<ProbeReply['packed']> {
  if (call.form === 'plain' || isGpu(call.device)) {
    // The original is always opened packed: there is no other way to compare. On a GPU the CPU's packing has next to nothing to do.
    return { openMs: unpacked.openMs, runMs, privateBytes: unpacked.privateBytes, paysAfterRuns: null }
  }
  const opened = await openMeasured(call, true)
  try {
    const packedMs = inputs === undefined ? 0 : await timedRun(opened.session, inputs, call.budgetMs)
    const gain = runMs - packedMs
    const paysAfterRuns = gain > MIN_GAIN * runMs && gain > 0 ? Math.max(1, Math.ceil(opened.openMs / gain)) : null
    return { openMs: opened.openMs, runMs: packedMs, privateBytes: opened.privateBytes, paysAfterRuns }
  } finally {
    await opened.session.release()
  }
}

/** Median of a few runs, the first left out; fewer when they are long. */
async function timedRun(session: EngineSession, inputs: readonly Tensor[], budgetMs: number): Promise<number> {
  const once = async () => {
    const started = systemClock.now()
    await session.run(inputs)
    return systemClock.now() - started
  }
  let spent = await once()
  const times: number[] = []
  while (times.length === 0 || (times.length < MAX_TIMED_RUNS && spent + spent / (times.length + 1) < budgetMs)) {
    const ms = await once()
    times.push(ms)
    spent += ms
  }
  times.sort((a, b) => a - b)
  return times[Math.floor(times.length / 2)] ?? spent
}

/** Extra resident bytes at the peak of one run; 0 where the kernel does not tell. */
async function activation(session: EngineSession, inputs: readonly Tensor[] | undefined): Promise<number> {
  if (inputs === undefined) return 0
  try {
    await session.run(inputs)
    // "5" resets the peak to what is resident now.
    await writeFile('/proc/self/clear_refs', '5')
    const before = await peakBytes()
    await session.run(inputs)
    return Math.max(0, (await peakBytes()) - before)
  } catch {
    return 0
  }
}

async function peakBytes(): Promise<number> {
  const status = await readFile('/proc/self/status', 'latin1')
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024
}

/** The template at another number of rows where rows are known to be rows, else as it is. */
function rowsOf(template: readonly Tensor[], rows: number, isBatchSafe: boolean): readonly Tensor[] {
  return isBatchSafe ? sampleRows(template, rows, new Random(SEED)) : template
}
