/** The version of the package that runs, from its manifest: beside `src` in a checkout and beside `dist` when packed. */
import { readFileSync } from 'node:fs'

export const version: string = (
  JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
).version
