/**
 * An artifact for a GPU against the CPU: does it run, does all of it run there, and are its answers those that the CPU gives for the
 * original? Providers are separate implementations of every operator, and some are wrong for some shapes: a customer must not be the one
 * who finds out.
 */
import { join } from 'node:path'
import { isDeviceOutOfMemory } from '../domain/device-memory.ts'
import { asGatewayError } from '../domain/errors.ts'
import { printable } from '../domain/model-ref.ts'
import type { Tensor } from '../domain/tensor-types.ts'
import { EngineSession } from '../engine/session.ts'
import { mappedOptions, plainOptions, withoutCpu } from '../engine/session-options.ts'
import { findSample } from './check.ts'
import { differenceOf } from './compare.ts'
import type { CompileCall, CompileReply } from './compiler-protocol.ts'
import { decodeGiven } from './given-inputs.ts'
import { refusal } from './refusal.ts'

/**
 * `source`: absolute path of the original; `onMadeUp` is called before anything runs on inputs that were made up. @throws GatewayError ARTIFACT_INVALID when the answers lie further apart than
 * `call.maxDeviation`. Where no inputs can be made, or the CPU does not run the original, nothing is compared.
 */
export async function checkOnDevice(
  call: CompileCall,
  reply: Pick<CompileReply, 'form' | 'file' | 'signature'>,
  source: string,
  onMadeUp: () => void,
): Promise<{ readonly needsCpu: boolean }> {
  const { session, needsCpu } = await openOnDevice(call, reply)
  try {
    const problem = await differenceFromCpu(call, reply, source, session, onMadeUp)
    if (problem === undefined) return { needsCpu }
    throw refusal(
      `the model's answers on ${call.device} are not those on the CPU: ${problem}; serve it from a CPU, or raise device.maxDeviation if that is near enough`,
    )
  } finally {
    await session.release()
  }
}

async function openOnDevice(
  { cache, device, intraOpThreads }: CompileCall,
  { form, file }: Pick<CompileReply, 'form' | 'file'>,
): Promise<{ session: EngineSession; needsCpu: boolean }> {
  const options =
    form === 'mapped'
      ? mappedOptions({ isPacked: false, intraOpThreads, device })
      : plainOptions({ intraOpThreads, device })
  const path = join(cache, file)
  try {
    return { session: await EngineSession.open(path, withoutCpu(options)), needsCpu: false }
  } catch {
    // Whatever else was wrong is wrong again, and said then.
    return { session: await EngineSession.open(path, options), needsCpu: true }
  }
}

/** What the CPU runs and the device does not is refused: with FP16 on a GPU without it, every request would fail. */
async function runOnDevice(
  { device }: CompileCall,
  session: EngineSession,
  inputs: readonly Tensor[],
): Promise<Tensor[]> {
  try {
    return await session.run(inputs)
  } catch (error) {
    if (isDeviceOutOfMemory(error)) throw error
    const { message, cause } = asGatewayError(error)
    const words = cause instanceof Error ? printable(cause.message.split('\n', 1)[0] ?? '') : message
    throw refusal(`the model runs on the CPU and not on ${device}: ${words}; serve it from a CPU`, undefined, error)
  }
}

async function differenceFromCpu(
  call: CompileCall,
  { signature }: Pick<CompileReply, 'signature'>,
  source: string,
  session: EngineSession,
  onMadeUp: () => void,
): Promise<string | undefined> {
  let cpu: EngineSession
  try {
    cpu = await EngineSession.open(source, plainOptions({ intraOpThreads: call.intraOpThreads }))
  } catch {
    return undefined
  }
  try {
    const given = decodeGiven(call, signature)
    const found = await findSample(cpu, { signature, given, madeUp: call.madeUp, onMadeUp })
    if (found === undefined) return undefined
    const { inputs, answers } = found.sample
    const tolerance = { relative: call.maxDeviation, ofDeviation: call.maxDeviation }
    const problem = differenceOf(await runOnDevice(call, session, inputs), answers, tolerance)
    // A model that does not agree with itself (random operators) cannot be held against anything.
    return problem === undefined || differenceOf(await cpu.run(inputs), answers, tolerance) !== undefined
      ? undefined
      : problem
  } finally {
    await cpu.release()
  }
}
