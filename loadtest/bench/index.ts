import { warmSmall } from './b11-warm-small.ts'
import type { Bench } from './bench.ts'

export const BENCHES: readonly Bench[] = [warmSmall]
