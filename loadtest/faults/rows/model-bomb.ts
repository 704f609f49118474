/** Row 13: models that are small on disk and endless to compile or to run. */
import { FILE_BOMBS } from '../../bench/bombs.ts'
import { readServerProcesses } from '../../measure/server-processes.ts'
import { countOutcomes, expectUntouched, outcomeOf, tailOf } from '../answers.ts'
import { Expectations, type FaultRow } from '../fault.ts'

const STEADY_MODELS = 20
/** The compile deadline as shipped, what the file's size adds to it, and a request that waits for half of it. */
const LIMIT_SECONDS = 95

export const modelBomb: FaultRow = {
  number: 13,
  fault: 'model bombs',
  injected: `${FILE_BOMBS.length} files, among them 144 bytes that ask for a gibibyte, folding that never ends, functions that double 30 times`,
  expected:
    '4xx for each within the compile deadline, no compiler above its memory cap, others answered without an error',
  limitSeconds: LIMIT_SECONDS,
  async run(stage) {
    const expect = new Expectations()
    const steady = await stage.writeSteady(STEADY_MODELS)
    const name = (i: number): string => `bombs/m${i}`
    for (const [i, { bytes }] of FILE_BOMBS.entries()) await stage.writeModelFile(name(i), bytes(i))
    const running = await stage.serve({ awaits: name(FILE_BOMBS.length - 1) })
    await stage.touchAll(running, steady)
    const outcomes: string[] = []
    let slowest = 0
    const {
      value: { report },
      peak,
    } = await stage.peakDuring(
      () => largestCompiler(running.server.pid),
      () =>
        stage.besideSteady(running, steady, async () => {
          for (const [i, bomb] of FILE_BOMBS.entries()) {
            stage.progress(bomb.name)
            // Whoever asks first may have left before the compile is given up: what counts is what the model is then.
            let outcome = ''
            const seconds = await stage.secondsUntil(bomb.name, 2 * LIMIT_SECONDS, async () => {
              const reply = await running.probe.tryInfer(name(i), bomb.body)
              outcome = outcomeOf(reply)
              return reply.status >= 400 && reply.status < 500
            })
            slowest = Math.max(slowest, seconds)
            outcomes.push(outcome)
          }
        }),
    )
    expectUntouched(expect, report)
    const mib = Math.round(peak / 2 ** 20)
    const measured = `the slowest; compilers' private memory at most ${mib} MiB; ${countOutcomes(outcomes)}; ${tailOf(report)}`
    return { seconds: slowest, measured, problems: expect.problems }
  },
}

/** Private memory of the largest compiler process. */
async function largestCompiler(pid: number): Promise<number> {
  const all = await readServerProcesses(pid)
  return Math.max(0, ...all.filter(({ role }) => role === 'compiler').map(({ privateBytes }) => privateBytes))
}
