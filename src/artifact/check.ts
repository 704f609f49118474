/** Holds an artifact's answers against those of the session that saved it, before anybody else is answered. */
import { isDeviceOutOfMemory } from '../domain/device-memory.ts'
import { GatewayError } from '../domain/errors.ts'
import type { Signature, Tensor } from '../domain/tensor-types.ts'
import type { EngineSession } from '../engine/session.ts'
import { differenceOf, SAME_MODEL } from './compare.ts'
import { Random } from './random.ts'
import { refusal } from './refusal.ts'
import type { MadeUp } from './sample-inputs.ts'
import { SAMPLE_STYLES, sampleInputs } from './sample-inputs.ts'

const SEED = 1

/** Inputs that a model runs on, and its answers. */
export interface Sample {
  readonly inputs: readonly Tensor[]
  readonly answers: readonly Tensor[]
}

export interface CheckResult {
  readonly check: 'generated' | 'given' | 'first-request'
  /** What differed; the artifact must not be used. */
  readonly problem?: string
}

export interface SampleTerms {
  readonly signature: Signature
  /** The owner's inputs, tried first. */
  readonly given: readonly (readonly Tensor[])[]
  readonly madeUp: MadeUp
  /** Called once, before the model runs on inputs that were made up. */
  readonly onMadeUp?: () => void
}

/**
 * Runs `reference` on the owner's inputs, else on made ones, else finds that none can be made.
 * @throws GatewayError ARTIFACT_INVALID when it ran on none and some run wanted more memory than models may have: inputs as small as
 * these are no reason for it
 */
export async function findSample(
  reference: EngineSession,
  { signature, given, madeUp, onMadeUp }: SampleTerms,
): Promise<{ readonly origin: 'generated' | 'given'; readonly sample: Sample } | undefined> {
  let memory: unknown
  const tryRun = async (inputs: readonly Tensor[]) => {
    try {
      return await reference.run(inputs)
    } catch (error) {
      if (isOutOfMemory(error)) memory = error
      return undefined
    }
  }
  for (const inputs of given) {
    const answers = await tryRun(inputs)
    if (answers !== undefined) return { origin: 'given', sample: { inputs, answers } }
  }
  const styles = SAMPLE_STYLES[madeUp]
  if (styles.length > 0) onMadeUp?.()
  for (const style of styles) {
    const inputs = sampleInputs(signature, style, new Random(SEED))
    const answers = inputs === undefined ? undefined : await tryRun(inputs)
    if (inputs !== undefined && answers !== undefined) return { origin: 'generated', sample: { inputs, answers } }
    // Without inputs there is nothing to make another of.
    if (inputs?.length === 0) break
  }
  if (memory !== undefined) throw tooMuchMemory(memory)
  return undefined
}

/** Compares `candidate` with `reference`. A model that does not agree with itself (random operators) is left to the first request. */
export async function checkAnswers(
  reference: EngineSession,
  candidate: EngineSession,
  terms: SampleTerms,
): Promise<CheckResult> {
  const found = await findSample(reference, terms)
  if (found === undefined) return { check: 'first-request' }
  const { inputs, answers } = found.sample
  const actual = await answersOf(candidate, inputs)
  const problem =
    actual === undefined ? 'the artifact fails where the original answers' : differenceOf(actual, answers, SAME_MODEL)
  if (problem === undefined) return { check: found.origin }
  const again = await answersOf(reference, inputs)
  if (again !== undefined && differenceOf(again, answers, SAME_MODEL) !== undefined) return { check: 'first-request' }
  return { check: found.origin, problem }
}

async function answersOf(session: EngineSession, inputs: readonly Tensor[]): Promise<Tensor[] | undefined> {
  try {
    return await session.run(inputs)
  } catch (error) {
    if (isOutOfMemory(error)) throw tooMuchMemory(error)
    if (isDeviceOutOfMemory(error)) throw error
    return undefined
  }
}

function tooMuchMemory(cause: unknown): GatewayError {
  return refusal(
    'a run of the model on the smallest inputs wants more memory than artifact.compileMemoryBytes allows; make it smaller, or raise the cap',
    { strike: 'memory' },
    cause,
  )
}

/** The engine reports memory that was refused in words only. */
export function isOutOfMemory(error: unknown): boolean {
  // A GPU that others have filled: nothing that the caps on this process are about.
  if (isDeviceOutOfMemory(error)) return false
  const cause = error instanceof GatewayError ? error.cause : error
  const text = cause instanceof Error ? cause.message : String(cause)
  return /bad_alloc|failed to allocate|out of memory|bad_array_new_length/i.test(text)
}
