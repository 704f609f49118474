/**
 * One ModelKey open in one worker.
 *
 *   opening -> open -> closing -> gone        a worker that dies takes its placements from any state to `gone`
 */
import type { Clock } from '../lib/clock.ts'
import type { Move, Stateful } from './state-machine.ts'
import { StateMachine } from './state-machine.ts'

export type PlacementState = 'opening' | 'open' | 'closing' | 'gone'

/** `opening -> closing`: the entry left while its session was being opened. */
export const PLACEMENT_NEXT = {
  opening: ['open', 'closing', 'gone'],
  open: ['closing', 'gone'],
  closing: ['gone'],
  gone: [],
} as const satisfies Record<PlacementState, readonly PlacementState[]>

export interface PlacementStatus {
  readonly s: PlacementState
}

export interface Placement extends Stateful<PlacementStatus> {
  /** Unique among all placements of a replica, for ever. */
  readonly id: number
  readonly workerId: string
  /** Weights were packed at open: faster runs, more private bytes. */
  readonly isPacked: boolean
  /** An estimate while `opening`, measured once `open`. */
  privateBytes: number
  /** Memory mappings; as `privateBytes`. */
  mappings: number
  runsSinceOpen: number
}

export type PlacementMove = Move<PlacementState>

export function placementMachine(clock: Clock, publish: (move: PlacementMove) => void): StateMachine<PlacementStatus> {
  return new StateMachine<PlacementStatus>({
    noun: 'placement',
    next: PLACEMENT_NEXT,
    announced: ['closing'],
    clock,
    publish,
  })
}
