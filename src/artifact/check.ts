/** Holds an artifact's answers against those of the session that saved it, before anybody else is answered. */
import { GatewayError } from '../domain/errors.ts'
import type { Signature, Tensor } from '../domain/tensor-types.ts'
import type { EngineSession } from '../engine/session.ts'
import { differenceOf, SAME_MODEL } from './compare.ts'
import { Random } from './random.ts'
import { refusal } from './refusal.ts'
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

/**
 * Runs `reference` on the owner's inputs, else on made ones, else finds that none can be made.
 * @throws GatewayError ARTIFACT_INVALID when a run wants more memory than models may have
 */
export async function findSample(
  reference: EngineSession,
  signature: Signature,
  given: readonly (readonly Tensor[])[],
  options: { readonly makesInputs: boolean } = { makesInputs: true },
): Promise<{ readonly origin: 'generated' | 'given'; readonly sample: Sample } | undefined> {
  for (const inputs of given) {
    const answers = await tryRun(reference, inputs)
    if (answers !== undefined) return { origin: 'given', sample: { inputs, answers } }
  }
  for (const style of options.makesInputs ? SAMPLE_STYLES : []) {
    const inputs = sampleInputs(signature, style, new Random(SEED))
    const answers = inputs === undefined ? undefined : await tryRun(reference, inputs)
    if (inputs !== undefined && answers !== undefined) return { origin: 'generated', sample: { inputs, answers } }
    // Without free dimensions the styles differ little; what refuses ones and zeros at fixed shapes refuses the rest too.
    if (inputs?.length === 0) break
  }
  return undefined
}

/** Compares `candidate` with `reference`. A model that does not agree with itself (random operators) is left to the first request. */
export async function checkAnswers(
  reference: EngineSession,
  candidate: EngineSession,
  signature: Signature,
  given: readonly (readonly Tensor[])[],
  options: { readonly makesInputs: boolean },
): Promise<CheckResult> {
  const found = await findSample(reference, signature, given, options)
  if (found === undefined) return { check: 'first-request' }
  const { inputs, answers } = found.sample
  const actual = await tryRun(candidate, inputs)
  const problem =
    actual === undefined ? 'the artifact fails where the original answers' : differenceOf(actual, answers, SAME_MODEL)
  if (problem === undefined) return { check: found.origin }
  const again = await tryRun(reference, inputs)
  if (again !== undefined && differenceOf(again, answers, SAME_MODEL) !== undefined) return { check: 'first-request' }
  return { check: found.origin, problem }
}

async function tryRun(session: EngineSession, inputs: readonly Tensor[]): Promise<Tensor[] | undefined> {
  try {
    return await session.run(inputs)
  } catch (error) {
    if (isOutOfMemory(error)) {
      throw refusal(
        'a run of the model on small inputs wants more memory than artifact.compileMemoryBytes allows; make it smaller, or raise the cap',
        { strike: 'memory' },
        error,
      )
    }
    return undefined
  }
}

/** The engine reports memory that was refused in words only. */
export function isOutOfMemory(error: unknown): boolean {
  const cause = error instanceof GatewayError ? error.cause : error
  const text = cause instanceof Error ? cause.message : String(cause)
  return /bad_alloc|failed to allocate|out of memory|bad_array_new_length/i.test(text)
}
