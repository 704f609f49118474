/** Entry point of the thread that runs a batch. */
import { parentPort, workerData } from 'node:worker_threads'
import type { Batch, BatchEnd } from './batch.ts'
import { PULSE } from './batch.ts'
import { Dice } from './dice.ts'
import { Judge } from './judge.ts'
import { minimise } from './minimise.ts'
import { targetNamed } from './targets/index.ts'

const batch = workerData as Batch
const end = run(batch)
parentPort?.postMessage(end, [])

function run({ target: name, seed, from, to, pulse }: Batch): BatchEnd {
  const words = new Int32Array(pulse)
  const target = targetNamed(name)
  const judge = new Judge(target)
  for (let caseNumber = from; caseNumber < to; caseNumber++) {
    Atomics.add(words, PULSE.beat, 1)
    Atomics.store(words, PULSE.caseNumber, caseNumber)
    const input = target.make(new Dice(seed, caseNumber))
    const verdict = judge.judge(input)
    if (verdict === 'accepted') Atomics.add(words, PULSE.accepted, 1)
    else if (verdict === 'refused') Atomics.add(words, PULSE.refused, 1)
    else {
      const smallest = minimise(input, (smaller) => {
        Atomics.add(words, PULSE.beat, 1)
        const again = judge.judge(smaller)
        return typeof again === 'object' && again.what === verdict.what
      })
      return { found: { finding: verdict, caseNumber, input, smallest } }
    }
  }
  return {}
}
