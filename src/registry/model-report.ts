/** Puts together what is known of one model. */
import { SETTINGS_FILE } from './model-settings.ts'
import type { ModelReport, VersionFacts } from './scan-messages.ts'

/** `modelmux.yaml` as it was read: `value` is '' for the defaults, undefined when it was never right. */
export interface ReadSettings {
  readonly value: string | undefined
  readonly problem: string | undefined
}

/**
 * @param known versions, oldest first; without facts where they are not complete yet
 * @param settings absent when the model has no such file
 */
export function composeReport(
  name: string,
  known: ReadonlyArray<readonly [version: string, facts: VersionFacts | undefined]>,
  aliases: ModelReport['aliases'] = [],
  settings?: ReadSettings,
): ModelReport {
  const { value, problem } = settings ?? {}
  return {
    name,
    versions: known.flatMap(([, facts]) => (facts === undefined ? [] : [facts])),
    pending: known.filter(([, facts]) => facts === undefined).map(([version]) => version),
    aliases,
    ...(value === undefined || value === '' ? {} : { settings: value }),
    ...(value === undefined && problem !== undefined ? { problem: `${SETTINGS_FILE}: ${problem}` } : {}),
  }
}
