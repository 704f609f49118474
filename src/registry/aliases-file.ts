/** Reads a model's `aliases.json`: an object of versions by alias, `{"champion": "7"}`. */
import { aliasProblem, isVersion, printable } from '../domain/model-ref.ts'

export const ALIASES_FILE = 'aliases.json'

const MAX_ALIASES = 1000

/** Pairs of alias and version. @throws Error that says what is wrong with the file */
export function parseAliases(text: string): Array<[alias: string, version: string]> {
  const content: unknown = JSON.parse(text)
  if (typeof content !== 'object' || content === null || Array.isArray(content))
    throw new Error('expected an object like {"champion": "7"}')
  const entries = Object.entries(content)
  if (entries.length > MAX_ALIASES)
    throw new Error(`it has ${entries.length} aliases, at most ${MAX_ALIASES} are allowed`)
  return entries.map(([alias, value]: [string, unknown]) => {
    const problem = aliasProblem(alias)
    if (problem !== undefined) throw new Error(`'${printable(alias)}' is not an alias: ${problem}`)
    const version = typeof value === 'number' ? String(value) : value
    if (typeof version !== 'string' || !isVersion(version))
      throw new Error(
        `alias '${printable(alias)}' names ${printable(JSON.stringify(value))}; expected a version like "7"`,
      )
    return [alias, version]
  })
}
