/** What servers said they did, by their logs. All of it has arrived once a server was stopped. */
import type { ServerProcess } from './server-process.ts'

/** Names of the models that these servers compiled, the optimiser included, sorted; a name for every time. */
export function compiledNames(...servers: readonly ServerProcess[]): string[] {
  return servers
    .flatMap((server) => server.logged('artifact.compiled'))
    .filter(({ optimiseMs }) => optimiseMs !== undefined)
    .map(({ key }) => String(key).replace(/:.*/, ''))
    .toSorted((a, b) => a.localeCompare(b))
}
