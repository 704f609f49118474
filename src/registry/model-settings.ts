/** Reads a model's `modelmux.yaml`: its owner's wishes, every field optional, unknown fields refused. */
import { parse } from 'yaml'
import { z } from 'zod'
import type { ModelSettings } from '../domain/model-version.ts'

/** What holds where a model's file says nothing: section `model` of the configuration. */
export interface ModelDefaults {
  readonly batching: 'auto' | 'off'
  readonly maxRows: number
  readonly maxDelayMs: number
  readonly intraOpThreads: number
}

const wholeFrom = (min: number, max: number) =>
  z
    .int({ error: `expected a whole number from ${min} to ${max}` })
    .min(min, `expected ${min} or more`)
    .max(max, `expected ${max} or less`)

const settingsFile = z.strictObject({
  batching: z
    .strictObject({
      mode: z.enum(['auto', 'off'], { error: 'expected auto or off' }).optional(),
      maxRows: wholeFrom(1, 65_536).optional(),
      maxDelayMs: wholeFrom(0, 1000).optional(),
    })
    .optional(),
  intraOpThreads: wholeFrom(1, 256).optional(),
  deadlineMs: wholeFrom(1, 86_400_000).optional(),
  /** Inference requests as in JSON bodies. */
  warmUp: z
    .array(
      z.looseObject(
        { inputs: z.array(z.unknown(), { error: 'expected a list of tensors' }) },
        { error: 'expected an inference request' },
      ),
    )
    .max(16, 'expected 16 warm-up requests at most')
    .optional(),
})

export function defaultSettings({ batching, maxRows, maxDelayMs, intraOpThreads }: ModelDefaults): ModelSettings {
  return { batching: { mode: batching, maxRows, maxDelayMs }, intraOpThreads, warmUp: [] }
}

/** @throws Error whose message lists every problem of the file's text */
export function parseSettings(text: string, defaults: ModelSettings): ModelSettings {
  const content: unknown = parse(text) ?? {}
  const result = settingsFile.safeParse(content)
  if (!result.success) throw new Error(result.error.issues.map(describe).join('; '))
  const { batching, intraOpThreads, deadlineMs, warmUp } = result.data
  return {
    batching: {
      mode: batching?.mode ?? defaults.batching.mode,
      maxRows: batching?.maxRows ?? defaults.batching.maxRows,
      maxDelayMs: batching?.maxDelayMs ?? defaults.batching.maxDelayMs,
    },
    intraOpThreads: intraOpThreads ?? defaults.intraOpThreads,
    warmUp: warmUp ?? defaults.warmUp,
    ...(deadlineMs === undefined ? {} : { deadlineMs }),
  }
}

function describe(issue: z.core.$ZodIssue): string {
  const path = issue.path.map(String).join('.')
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => `${path === '' ? key : `${path}.${key}`}: there is no such field`).join('; ')
  return path === '' ? 'expected fields like batching, intraOpThreads, deadlineMs, warmUp' : `${path}: ${issue.message}`
}
