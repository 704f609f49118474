/** Stages versions in a process of its own: a job a line on standard input, an answer a line; what it staged it uses until its input ends. */
import { createInterface } from 'node:readline'
import { GatewayError } from '../../../src/domain/errors.ts'
import { systemClock } from '../../../src/lib/clock.ts'
import { RemoteStore } from '../../../src/store/remote-store.ts'
import { Staging } from '../../../src/store/staging.ts'
import type { FetchJob, FetchSetting } from '../fetching-process.ts'
import { httpReader } from '../object-server.ts'

const { dir, origin, budgetBytes, limits } = JSON.parse(process.argv[2] ?? '') as FetchSetting
const sources = new Map<string, FetchJob>()
const staging = new Staging({ dir, budgetBytes, minFreeBytes: 0, clock: systemClock, onEvent() {} })
const store = new RemoteStore({
  reader: httpReader(origin),
  sourceOf: ({ key }) => ({ files: sources.get(key)?.files ?? [] }),
  staging,
  limits,
  replacedRetryMs: 1000,
  clock: systemClock,
  random: Math.random,
  onEvent() {},
})
const say = (text: string) => process.stdout.write(`${text}\n`)

await staging.open()
say('open')
const staged = []
for await (const line of createInterface(process.stdin)) {
  const job = JSON.parse(line) as FetchJob
  sources.set(job.version.key, job)
  try {
    const source = await store.stage(job.version)
    if (job.isKept) staged.push(source)
    else source.release()
    say(`staged ${await source.isUnchanged()}`)
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error
    say(`refused ${error.code}: ${error.message}`)
  }
}
for (const source of staged) source.release()
await store.close()
