/** The faults of a single machine, in order. */
import type { FaultRow } from './fault.ts'
import { blockedSinks } from './rows/blocked-sinks.ts'
import { bodyBombs } from './rows/body-bombs.ts'
import { clientLeaves } from './rows/client-leaves.ts'
import { clockJumps } from './rows/clock-jumps.ts'
import { coldBurst } from './rows/cold-burst.ts'
import { coldScan } from './rows/cold-scan.ts'
import { crashingModel } from './rows/crashing-model.ts'
import { damagedCache } from './rows/damaged-cache.ts'
import { diskFull } from './rows/disk-full.ts'
import { fullOfPins } from './rows/full-of-pins.ts'
import { gpuRows } from './rows/gpu.ts'
import { killedWhileWriting } from './rows/killed-while-writing.ts'
import { killedWorker } from './rows/killed-worker.ts'
import { modelBomb } from './rows/model-bomb.ts'
import { outOfFiles } from './rows/out-of-files.ts'
import { slowHeaders } from './rows/slow-headers.ts'
import { storeDies, storeFallsSilent } from './rows/store-breaks.ts'
import { thrash } from './rows/thrash.ts'
import { unloadInUse } from './rows/unload-in-use.ts'
import { unreadAnswers } from './rows/unread-answers.ts'

export const FAULT_ROWS: readonly FaultRow[] = [
  crashingModel,
  ...gpuRows,
  killedWorker,
  modelBomb,
  storeFallsSilent,
  storeDies,
  diskFull,
  damagedCache,
  killedWhileWriting,
  coldBurst,
  coldScan,
  thrash,
  fullOfPins,
  slowHeaders,
  clientLeaves,
  unreadAnswers,
  bodyBombs,
  clockJumps,
  outOfFiles,
  blockedSinks,
  unloadInUse,
].toSorted((a, b) => a.number - b.number)
