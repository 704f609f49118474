/** Puts together what is known of one model. */
import { SETTINGS_FILE } from './model-settings.ts'
import type { ModelReport, VersionFacts } from './scan-messages.ts'

/** `modelmux.yaml` as it was read: `value` is '' for the defaults, undefined when it was never right. */
export interface ReadSettings {
  readonly value: string | undefined
  readonly problem: string | undefined
}

/** One empty list for many thousand models. */
const NONE: readonly never[] = []

/**
 * @param known versions, oldest first; without facts where they are not complete yet
 * @param settings absent when the model has no such file
 */
export function composeReport(
  name: string,
  known: ReadonlyArray<readonly [version: string, facts: VersionFacts | undefined]>,
  aliases: ModelReport['aliases'] = NONE,
  settings?: ReadSettings,
): ModelReport {
  const { value, problem } = settings ?? {}
  const pending = known.filter(([, facts]) => facts === undefined).map(([version]) => version)
  return {
    name,
    versions: known.flatMap(([, facts]) => (facts === undefined ? [] : [facts])),
    pending: pending.length === 0 ? NONE : pending,
    aliases,
    ...(value === undefined || value === '' ? {} : { settings: value }),
    ...(value === undefined && problem !== undefined ? { problem: `${SETTINGS_FILE}: ${problem}` } : {}),
  }
}
