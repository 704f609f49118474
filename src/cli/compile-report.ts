/** What `modelmux compile` did, as text and as JSON. */
import { formatByteSize } from '../lib/byte-size.ts'
import { visible } from './text.ts'

/** `there`: nothing was to be done; `fetched`: another machine of the fleet had it. */
export type ModelOutcome = 'compiled' | 'fetched' | 'there' | 'failed'

export interface CompiledModel {
  /** `name:version`, or the ref that was given where it means none. */
  readonly model: string
  readonly outcome: ModelOutcome
  readonly artifact?: string
  readonly code?: string
  readonly error?: string
}

export interface CompileReport {
  readonly models: readonly CompiledModel[]
  readonly sentBytes: number
  /** Compiled models that the fleet cache did not get. */
  readonly notSent: number
  /** Versions that were not reached. */
  readonly skipped: number
}

export function isComplete({ models, notSent, skipped }: CompileReport): boolean {
  return notSent === 0 && skipped === 0 && models.every(({ outcome }) => outcome !== 'failed')
}

export function compileJson(report: CompileReport): string {
  return `${JSON.stringify(report)}\n`
}

export function compileText({ models, sentBytes, notSent, skipped }: CompileReport): string {
  const count = (outcome: ModelOutcome) => models.filter((one) => one.outcome === outcome).length
  const parts = [
    `compiled ${count('compiled')}`,
    `taken over ${count('fetched')}`,
    `there already ${count('there')}`,
    `failed ${count('failed')}`,
    ...(skipped > 0 ? [`not reached ${skipped}`] : []),
  ]
  const lines = [
    parts.join(', '),
    ...models.flatMap(({ model, outcome, code, error }) =>
      outcome === 'failed' ? [`failed ${model}: ${code}: ${error}`] : [],
    ),
    ...(sentBytes > 0 ? [`sent ${formatByteSize(sentBytes)} to the fleet cache`] : []),
    ...(notSent > 0 ? [`could not send ${notSent} to the fleet cache`] : []),
  ]
  return `${lines.map(visible).join('\n')}\n`
}
