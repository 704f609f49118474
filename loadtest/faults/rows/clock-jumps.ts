/** Row 45: the wall clock jumps by an hour, both ways. */
import { kill } from 'node:process'
import { fileURLToPath } from 'node:url'
import { inferBody } from '../../generator/infer-request.ts'
import { modelBytes, type NamedTensor } from '../../models/index.ts'
import { slow } from '../../models/special/index.ts'
import { expectUntouched, outcomeOf, tailOf } from '../answers.ts'
import { Expectations, type FaultRow } from '../fault.ts'

const MODEL = 'busy/slow'
/** About three seconds of one core: longer than the deadline. */
const LONG = 100_000n
const DEADLINE_MS = 1500
const SETTLE_MS = 1500
const STEADY_MODELS = 10
const JUMPS = ['SIGUSR2', 'SIGWINCH'] as const

export const clockJumps: FaultRow = {
  number: 45,
  fault: 'the wall clock jumps by an hour',
  injected:
    "the main process's wall clock is put an hour forward and back again, twice, under load and with a deadline running",
  expected: 'no request fails, deadlines pass when they should, nothing is evicted or loaded for it',
  limitSeconds: 1,
  async run(stage) {
    const expect = new Expectations()
    const steady = await stage.writeSteady(STEADY_MODELS)
    await stage.writeModelFile(MODEL, modelBytes(slow().model))
    const shim = fileURLToPath(new URL('../shims/wall-clock.ts', import.meta.url))
    const running = await stage.serve({
      awaits: MODEL,
      launch: { nodeArgs: ['--import', shim] },
      args: ['--workers', '2'],
    })
    const { probe, server } = running
    await stage.touchAll(running, steady)
    expect.equal('a short run before', outcomeOf(await probe.tryInfer(MODEL, iterations(1n))), '200')
    await probe.awaitQuiet(server.pid, stage.signal)
    const loadsBefore = (await probe.metrics()).sum('modelmux_loads_total')
    const { value, report } = await stage.besideSteady(running, steady, async () => {
      const late = probe.tryInfer(MODEL, iterations(LONG), DEADLINE_MS)
      for (const signal of [...JUMPS, ...JUMPS]) {
        await stage.pause(DEADLINE_MS / 10)
        kill(server.pid, signal)
      }
      const reply = await late
      expect.equal('a run past its deadline', outcomeOf(reply), '504 DEADLINE_EXCEEDED')
      kill(server.pid, 'SIGUSR2')
      await stage.pause(SETTLE_MS)
      kill(server.pid, 'SIGWINCH')
      await stage.pause(SETTLE_MS)
      return Math.abs(reply.ms - DEADLINE_MS) / 1000
    })
    expectUntouched(expect, report)
    expect.equal('loads meanwhile', (await probe.metrics()).sum('modelmux_loads_total') - loadsBefore, 0)
    const measured = `how far a deadline of ${DEADLINE_MS} ms was missed; ${report.answered} others answered, ${tailOf(report)}`
    return { seconds: value, measured, problems: expect.problems }
  },
}

function iterations(count: bigint) {
  const tensor: NamedTensor = { name: 'iterations', shape: [1], datatype: 'INT64', data: BigInt64Array.of(count) }
  return inferBody([tensor], 'json')
}
