/** Reads a model's `modelmux.yaml`: its owner's wishes, every field optional, unknown fields refused. */
import { parse } from 'yaml'
import { z } from 'zod'
import { printable } from '../domain/model-ref.ts'
import type { ModelSettings } from '../domain/model-version.ts'
import { SIDECAR_MAX_BYTES } from './sidecar.ts'

export const SETTINGS_FILE = 'modelmux.yaml'

/**
 * The YAML library takes time that grows with the square of some texts: 0.4 s for these at most, 40 s for ones ten times as long. What is
 * longer is written by programs (warm-up requests with their data), and they write JSON.
 */
const MAX_YAML_CHARACTERS = 32 * 1024
const MAX_PROBLEMS = 20
/** Twice what the file may have: YAML's anchors repeat what it says once; quotes and brackets alone do not double it. */
const MAX_SETTINGS_CHARS = 2 * SIDECAR_MAX_BYTES

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
  const content = contentOf(text) ?? {}
  const result = settingsFile.safeParse(content)
  if (!result.success) throw new Error(listed(result.error.issues.flatMap(describe)))
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

/**
 * The settings that a file says, as JSON for a report; '' when they are the defaults. JSON has no NaN: the words stand for it, as in
 * JSON requests. @throws as `parseSettings`
 */
export function settingsText(text: string, defaults: ModelSettings): string {
  const write = (settings: ModelSettings) =>
    JSON.stringify(settings, (_, value: unknown) =>
      typeof value === 'number' && !Number.isFinite(value) ? String(value) : value,
    )
  const settings = write(parseSettings(text, defaults))
  if (settings.length > MAX_SETTINGS_CHARS)
    throw new Error(`it unfolds to ${settings.length} characters, at most ${MAX_SETTINGS_CHARS} are allowed`)
  return settings === write(defaults) ? '' : settings
}

/** All JSON is YAML, and reading it as what it is takes a hundredth of the time. */
function contentOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    // At its default level the library prints a warning for each tag it does not know, as many as the file has.
    if (text.length <= MAX_YAML_CHARACTERS) return parse(text, { logLevel: 'error' })
    throw new Error(
      `it has ${text.length} characters; beyond ${MAX_YAML_CHARACTERS} only JSON is read, and it is none: ${String(cause)}`,
      { cause },
    )
  }
}

function describe(issue: z.core.$ZodIssue): string[] {
  const path = issue.path.map(String).join('.')
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => `${path === '' ? '' : `${path}.`}${printable(key)}: there is no such field`)
  return [
    path === '' ? 'expected fields like batching, intraOpThreads, deadlineMs, warmUp' : `${path}: ${issue.message}`,
  ]
}

function listed(problems: readonly string[]): string {
  const rest = problems.length - MAX_PROBLEMS
  return problems.slice(0, MAX_PROBLEMS).join('; ') + (rest > 0 ? `; and ${rest} more` : '')
}
