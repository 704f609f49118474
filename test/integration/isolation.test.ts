/** Trust domains with real processes: whose models a worker ever maps, and whose sources a compiler ever reads. */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { modelClass, Rng } from '../../loadtest/models/index.ts'
import { CompilerLane } from '../../src/artifact/compiler-lane.ts'
import { COMPILER_DEFAULTS } from '../../src/artifact/compiler-pool.ts'
import { spawnChild } from '../../src/child/spawn.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { until } from '../support/eventually.ts'
import { assertOutputs, infer } from '../support/infer-client.ts'
import { ModelsFolder } from '../support/models-folder.ts'
import { ServerProcess } from '../support/server-process.ts'

const XS = modelClass('XS')
const TENANTS = ['acme', 'bolt', 'cobalt']
const ROUNDS = 5

/** Two models of one tenant, each with weights of its own. */
interface Tenanted {
  readonly tenant: string
  readonly name: string
  readonly customer: number
}

const ALL: readonly Tenanted[] = TENANTS.flatMap((tenant, i) =>
  ['one', 'two'].map((name, j) => ({ tenant, name: `${tenant}/${name}`, customer: 10 * i + j })),
)

let models: ModelsFolder
let temporary: string

before(async () => {
  models = await ModelsFolder.make()
  temporary = await mkdtemp(join(tmpdir(), 'modelmux-isolation-'))
  for (const { name, customer } of ALL) await models.write(name, '1', XS.build({ customer, family: 'full', seed: 1 }))
})

after(async () => {
  await models.removeAll()
  await rm(temporary, { recursive: true, force: true })
})

describe('workers', () => {
  for (const [isolation, domainOf] of [
    ['tenant', ({ tenant }: Tenanted) => tenant],
    ['model', ({ name }: Tenanted) => name],
  ] as const) {
    it(`that are isolated by ${isolation} never map two ${isolation}s' weights in their lives, whoever asks for what`, async (context) => {
      const cache = join(temporary, isolation)
      const server = await ServerProcess.start({
        models: models.dir,
        cache,
        config: {
          store: { settleMs: 0 },
          artifact: { minBlobBytes: 1 },
          worker: { count: 2, isolation },
          scheduler: { starvationMs: 20 },
          telemetry: { logLevel: 'debug' },
        },
      })
      context.after(async () => {
        await server.stop()
      })
      await server.logs('registry.scanned')
      const rng = new Rng(isolation)
      const ask = async ({ name, customer }: Tenanted) => {
        const inputs = XS.sampleInputs(rng, 1)
        const answer = await infer(server.client, name, inputs)
        assertOutputs(answer, XS.expected({ customer, family: 'full', seed: 1 }, inputs), XS.tolerance)
      }
      /** Whose the files are: each model's are those that its first request brought. */
      const owners = new Map<string, string>()
      const seen = new Map<number, Set<string>>()
      const look = async () => {
        const ups = [...server.logged('worker.up'), ...server.logged('worker.renewed')]
        for (const pid of new Set(ups.map((line) => Number(line.pid)))) {
          const domains = seen.get(pid) ?? new Set()
          for (const blob of await mappedBlobs(pid)) domains.add(owners.get(blob) ?? 'nobody')
          seen.set(pid, domains)
        }
        return new Set([...seen.values()].flatMap((domains) => [...domains]))
      }
      for (const one of ALL) {
        await ask(one)
        for (const blob of await blobsIn(cache)) if (!owners.has(blob)) owners.set(blob, domainOf(one))
        // Nobody asks for anything else, so that its session stays open until it was seen.
        await until(`the weights of ${one.name} are seen in a worker`, async () => (await look()).has(domainOf(one)))
      }
      for (let round = 0; round < ROUNDS; round++) {
        await Promise.all([...ALL.map(ask), ...ALL.map(ask), look()])
        await look()
      }
      for (const [pid, domains] of seen) assert.ok(domains.size <= 1, `${pid} had ${[...domains].join(' and ')}`)
      assert.deepEqual(await look(), new Set(ALL.map(domainOf)))
      assert.ok(server.logged('worker.renewed').length >= 5, 'workers served one domain after the other')
    })
  }
})

describe('compilers', () => {
  it('are replaced between tenants where workers are isolated', async () => {
    const { idleMs, maxQueued, maxJobs, maxIdleBytes } = COMPILER_DEFAULTS
    const lane = new CompilerLane({
      clock: systemClock,
      cache: temporary,
      spawn: spawnChild,
      slots: 1,
      keepsWarm: true,
      isBackground: false,
      longJobMs: 60_000,
      maxBeside: 0,
      idleMs,
      maxQueued,
      maxJobs,
      maxIdleBytes,
      isolatesTenants: true,
      onLine: () => {},
      onEvent: () => {},
    })
    const pidFor = (tenant: string) =>
      lane.run({ tenant, dataLimitBytes: COMPILER_DEFAULTS.memoryBytes, run: async ({ pid }) => pid })
    const pids: number[] = []
    for (const tenant of ['acme', 'acme', 'bolt', 'acme', '']) pids.push(await pidFor(tenant))
    const [first, same, other, again, nobody] = pids
    assert.equal(first, same)
    assert.equal(new Set([first, other, again, nobody]).size, 4)
    await lane.close(10_000)
  })
})

async function blobsIn(cache: string): Promise<string[]> {
  const files = await readdir(join(cache, 'blobs'), { recursive: true, withFileTypes: true })
  return files.filter((file) => file.isFile()).map(({ name }) => name)
}

/** Digests of the tensor files that a process has mapped now; none when it is gone. */
async function mappedBlobs(pid: number): Promise<string[]> {
  const maps = await readFile(`/proc/${pid}/maps`, 'latin1').catch(() => '')
  return Array.from(maps.matchAll(/\/blobs\/[0-9a-f]+\/(\S+)$/gm), ([, digest = '']) => digest)
}
