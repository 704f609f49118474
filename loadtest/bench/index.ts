/** The benches that can be run, by name. */
import { thousands } from './b3-thousands.ts'
import { coldStart } from './b6-cold-start.ts'
import { storeCold } from './b6s-store-cold.ts'
import { isolation } from './b7-isolation.ts'
import { soak } from './b8-soak.ts'
import { sharedBase } from './b9-shared-base.ts'
import { transfer } from './b9t-transfer.ts'
import { neighbours } from './b10-neighbours.ts'
import { warmSmall } from './b11-warm-small.ts'
import type { Bench } from './bench.ts'

export const BENCHES: readonly Bench[] = [
  thousands,
  coldStart,
  storeCold,
  isolation,
  soak,
  sharedBase,
  transfer,
  neighbours,
  warmSmall,
]
