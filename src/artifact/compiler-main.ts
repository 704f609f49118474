/** Entry point of a compiler child, whose argument is its own staging folder: one job at a time, as the parent sends them; ends when the channel closes. */
import { join } from 'node:path'
import { serveCalls } from '../child/calls.ts'
import { withoutKillPoints } from '../child/kill-points.ts'
import { parentChannel } from '../child/spawn.ts'
import { firstRun } from '../engine/first-run.ts'
import { ortVersion } from '../engine/ort.ts'
import { compile } from './compile-job.ts'
import type { CompileCall, ExamineCall, HelloCall, HelloReply, ProbeCall, VerifyCall } from './compiler-protocol.ts'
import { CHECKING, COMPILER_CALLS } from './compiler-protocol.ts'
import { examine } from './examine-job.ts'
import { prime } from './prime.ts'
import { probe } from './probe-job.ts'
import { wrapDiskTrouble } from './refusal.ts'
import { verify } from './verify-job.ts'

const staging = process.argv[2] ?? ''
let jobs = 0

async function handle(kind: number, payload: Buffer): Promise<unknown> {
  const call: unknown = JSON.parse(payload.toString() || 'null')
  switch (kind) {
    case COMPILER_CALLS.hello:
      await firstRun((call as HelloCall).device)
      return { ortVersion } satisfies HelloReply
    case COMPILER_CALLS.examine:
      return examine(call as ExamineCall)
    case COMPILER_CALLS.compile:
      return await compile(call as CompileCall, join(staging, String(++jobs)), () => channel.say(Buffer.from(CHECKING)))
    case COMPILER_CALLS.probe:
      return await probe(call as ProbeCall)
    case COMPILER_CALLS.verify:
      return verify(call as VerifyCall)
    default:
      throw new RangeError(`no call of kind ${kind}`)
  }
}

/** Jobs wait for it; its own failure is not theirs. */
const primed = withoutKillPoints(() => prime(join(staging, 'prime'))).catch(() => {})

const channel = serveCalls(
  parentChannel(),
  async (kind, payload) => {
    await primed
    try {
      return [Buffer.from(JSON.stringify(await handle(kind, payload)))]
    } catch (error) {
      throw wrapDiskTrouble(error)
    }
  },
  // Nothing is left that keeps the process alive once the channel is gone.
  () => {},
)
