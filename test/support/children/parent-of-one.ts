/** A process with a pool of one worker, whose process id it prints. */
import { systemClock } from '../../../src/lib/clock.ts'
import { WorkerPool } from '../../../src/worker/worker-pool.ts'

const pool = new WorkerPool({
  count: 1,
  clock: systemClock,
  respawn: { baseMs: 1000, maxMs: 1000 },
  onLine: () => {},
  onUp: (worker) => void process.stdout.write(`${worker.pid}\n`),
  onDown: () => {},
})
await pool.start()
