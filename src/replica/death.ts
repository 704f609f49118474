/** How a worker's process ended, as far as blame goes. */
import { ChildGoneError } from '../child/calls.ts'
import type { DeathReason } from '../worker/worker-process.ts'
import { WorkerGoneError } from '../worker/worker-process.ts'

/**
 * `crash`: of its own doing; `hang`: killed because what it was at did not end; `memory`: killed because it held more than it may;
 * `outside`: killed by someone else, as the system does when memory runs out, or for reasons of ours that no model has given.
 */
export type DeathCause = 'crash' | 'hang' | 'memory' | 'outside'

export interface Death {
  readonly cause: DeathCause
  /** The signal, or the exit code in words. */
  readonly how: string
  readonly workerId: string
}

/** The process died while it was at this very open or run; what waited behind it gets a plain ChildGoneError. */
export class WorkerDied extends ChildGoneError {
  readonly during: 'open' | 'run'
  readonly death: Death

  constructor(during: 'open' | 'run', workerId: string, cause: ChildGoneError) {
    super(`worker ${workerId} died during this ${during}`, { cause })
    this.during = during
    this.death = deathOf(workerId, cause)
  }
}

const CAUSES: Readonly<Record<DeathReason, DeathCause>> = {
  crash: 'crash',
  hang: 'hang',
  'memory-cap': 'memory',
  host: 'outside',
  recycle: 'outside',
  rebind: 'outside',
  device: 'outside',
  stop: 'outside',
}

function deathOf(workerId: string, error: ChildGoneError): Death {
  if (!(error instanceof WorkerGoneError)) return { cause: 'outside', how: 'unknown', workerId }
  const { reason, signal, code, privateBytes } = error.exit
  const how = privateBytes === undefined ? (signal ?? `exit code ${code}`) : `${privateBytes} bytes`
  return { cause: CAUSES[reason], how, workerId }
}
