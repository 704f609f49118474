/**
 * Runs one case and says what to think of it: read, refused as it may be, or a finding. Beside exceptions a finding is a case that costs
 * out of proportion: what is kept of it takes more than a hundred times its size, what is allocated on the way (and soon collected) more
 * than two thousand times, or it takes time that no input of that size deserves.
 */
import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { GatewayError } from '../../src/domain/errors.ts'
import { systemClock } from '../../src/lib/clock.ts'
import type { FuzzTarget } from './target.ts'

export type FindingKind = 'exception' | 'memory' | 'time' | 'hang' | 'death'

export interface Finding {
  readonly kind: FindingKind
  /** Equal for findings of the same cause, as far as can be told. */
  readonly what: string
  readonly stack?: string | undefined
}

export type Verdict = 'accepted' | 'refused' | Finding

const KEPT_TIMES = 100
/** Looking closer takes a collection of garbage. */
const SUSPECT_TIMES = 250
const ALLOCATED_TIMES = 2000
/** Errors with their stacks, and the checks of a target itself, cost something however small the input is. */
const FLOOR_BYTES = 4 * 1024
/** Of wall time: more, and the case is run again to see what it costs without its neighbours on the machine. */
const SUSPECT_MS = 100
/** Of processor time. */
const SLOW_MS = 250
const REPEATS = 3

export class Judge {
  readonly #target: FuzzTarget
  readonly #collect = garbageCollector()

  constructor(target: FuzzTarget) {
    this.#target = target
  }

  judge(input: Buffer): Verdict {
    const size = Math.max(input.length, FLOOR_BYTES)
    const startedAt = systemClock.now()
    const before = allocated()
    let verdict = this.#outcome(input)
    const bytes = allocated() - before
    if (systemClock.now() - startedAt > SUSPECT_MS) verdict = this.#slowness(input) ?? verdict
    // What is kept is a part of what is allocated, a large one where it is too much.
    if (bytes > SUSPECT_TIMES * size) verdict = this.#greed(input, size) ?? verdict
    return verdict
  }

  #outcome(input: Buffer): Verdict {
    try {
      this.#target.run(input)
      return 'accepted'
    } catch (error) {
      if (error instanceof GatewayError && this.#target.refusals.has(error.code)) return 'refused'
      const { name, message, stack } = error instanceof Error ? error : new Error(String(error))
      const code = error instanceof GatewayError ? ` ${error.code}` : ''
      return { kind: 'exception', what: `${name}${code}: ${message.replace(/[0-9]+/g, '#').slice(0, 200)}`, stack }
    }
  }

  /** The smallest of several runs: compiling code costs memory once, and a collection under way hides some. */
  #greed(input: Buffer, size: number): Finding | undefined {
    let least = { allocated: Number.POSITIVE_INFINITY, kept: Number.POSITIVE_INFINITY }
    for (let i = 0; i < REPEATS; i++) {
      const spent = this.#spent(input)
      least = { allocated: Math.min(least.allocated, spent.allocated), kept: Math.min(least.kept, spent.kept) }
    }
    if (least.kept > KEPT_TIMES * size) return { kind: 'memory', what: `keeps more than ${KEPT_TIMES} times its size` }
    if (least.allocated <= ALLOCATED_TIMES * size) return undefined
    return { kind: 'memory', what: `allocates more than ${ALLOCATED_TIMES} times its size` }
  }

  #spent(input: Buffer): { readonly allocated: number; readonly kept: number } {
    const result: unknown[] = []
    this.#collect()
    const before = allocated()
    try {
      result.push(this.#target.run(input))
    } catch (error) {
      result.push(error)
    }
    const after = allocated()
    this.#collect()
    const kept = allocated() - before
    // Kept until here.
    return { allocated: after - before, kept: result.length > 0 ? kept : 0 }
  }

  #slowness(input: Buffer): Finding | undefined {
    for (let i = 0; i < REPEATS; i++) {
      const before = process.threadCpuUsage()
      this.#outcome(input)
      const { user, system } = process.threadCpuUsage(before)
      if ((user + system) / 1000 <= SLOW_MS) return undefined
    }
    return { kind: 'time', what: `takes more than ${SLOW_MS} ms of a processor` }
  }
}

/** Live and dead objects since the last collection, and the memory of buffers: what a case added to it, it allocated. */
function allocated(): number {
  const { used_heap_size: heap, external_memory: buffers } = getHeapStatistics()
  return heap + buffers
}

/** Twice, because buffers are freed in the background until the next one begins. */
function garbageCollector(): () => void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  return () => {
    collect()
    collect()
  }
}
