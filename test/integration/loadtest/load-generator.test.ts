import assert from 'node:assert/strict'
import { afterEach, describe, it } from 'node:test'
import { generateLoad } from '../../../loadtest/generator/load-generator.ts'
import { errorCount, type LoadPlan, type Target } from '../../../loadtest/generator/plan.ts'
import { startStub } from '../../support/loadtest/stub-server.ts'

const SEED = 5

function planFor(target: Target, changes: Partial<LoadPlan> = {}): LoadPlan {
  return {
    target,
    groups: [{ className: 'XS', family: 'head', seed: SEED, customers: 12 }],
    encoding: 'json',
    rows: 1,
    inputsPerModel: 1,
    popularity: { kind: 'once' },
    pace: { kind: 'closed', connections: 3 },
    seed: 9,
    warmUpSeconds: 0,
    seconds: 20,
    maxRequests: 1000,
    timeoutMs: 5000,
    check: 'all',
    progressMs: 0,
    ...changes,
  }
}

type Stub = Awaited<ReturnType<typeof startStub>>

describe('load generator, in its own process', () => {
  const stubs: Stub[] = []
  async function openStub(options: Parameters<typeof startStub>[0]): Promise<Stub> {
    const stub = await startStub(options)
    stubs.push(stub)
    return stub
  }
  afterEach(async () => {
    for (const stub of stubs.splice(0)) await stub[Symbol.asyncDispose]()
  })

  it('asks every model once and finds every answer right', async () => {
    const stub = await openStub({ seed: SEED })
    const report = await generateLoad(planFor(stub.target, { serverPid: process.pid }))
    assert.deepEqual(
      { answered: report.answered, wrong: report.wrong, errors: report.errors, cache: report.cache },
      { answered: 12, wrong: 0, errors: {}, cache: { hit: 12 } },
    )
    assert.equal(new Set(stub.asked).size, 12)
    assert.equal(report.latency.count, 12)
    assert.ok((report.serverCpuSeconds ?? -1) >= 0)
  })

  it('notices an answer that another customer’s model gave', async () => {
    const stub = await openStub({ seed: SEED, misbehave: (request) => (request === 7 ? 'wrong' : undefined) })
    const report = await generateLoad(planFor(stub.target))
    assert.deepEqual([report.answered, report.wrong], [11, 1])
    assert.match(report.firstProblem ?? '', /scores is off by/)
  })

  it('counts refusals, silence and lost connections by kind, and goes on', async () => {
    const kinds = { 2: 'overloaded', 4: 'silent', 6: 'hang-up' } as const
    const stub = await openStub({
      seed: SEED,
      misbehave: (request) => kinds[request as keyof typeof kinds],
    })
    const report = await generateLoad(planFor(stub.target, { timeoutMs: 300 }))
    assert.deepEqual(report.errors, { 'status 503': 1, timeout: 1, connection: 1 })
    assert.equal(report.answered + errorCount(report), 12)
  })

  it('never sends more than it was told to, at a given rate', async () => {
    const stub = await openStub({ seed: SEED })
    const pace = { kind: 'open', rps: 2000, arrivals: 'poisson', connections: 8 } as const
    const report = await generateLoad(
      planFor(stub.target, { pace, popularity: { kind: 'zipf', exponent: 1.1 }, maxRequests: 50 }),
    )
    assert.equal(report.answered, 50)
    assert.equal(stub.asked.length, 50)
    assert.equal(report.lateness.count, 50)
  })

  it('ends early when told to and reports what was measured until then', async () => {
    const stub = await openStub({ seed: SEED })
    const enough = new AbortController()
    const plan = planFor(stub.target, {
      popularity: { kind: 'uniform' },
      seconds: 600,
      maxRequests: 1e9,
      progressMs: 20,
    })
    const report = await generateLoad(plan, {
      signal: enough.signal,
      onProgress: ({ answered }) => {
        if (answered > 0) enough.abort()
      },
    })
    assert.ok(report.answered > 0)
    assert.equal(report.wrong, 0)
  })

  it('reports a plan that cannot be run as its own failure', async () => {
    const plan = planFor({ host: '127.0.0.1', port: 1 }, { groups: [] })
    await assert.rejects(generateLoad(plan), /the plan has no models/)
  })
})
