/**
 * A peer measured beside modelmux: the same loads to both by turns, and what that amounts to. The peer runs only while this does, so that
 * its idling costs no other figure anything.
 */
import type { BenchContext } from '../bench/bench.ts'
import { LOAD_COLUMNS, LoadSamples, loadCells } from '../bench/samples.ts'
import { generateLoad } from '../generator/load-generator.ts'
import type { LoadPlan } from '../generator/plan.ts'
import { pairedRatio } from '../measure/statistics.ts'
import type { Cell, Column, Table } from '../report/bench-result.ts'
import { type Peer, type PeerOptions, startRayServe, stopPeer } from './peer.ts'

const NAME = 'Ray Serve'
/** Under the largest concurrencies it answers after a second or more; what is slow is to be measured, not cut off. */
const TIMEOUT_MS = 60_000

/** A load for modelmux, warm; the peer gets the same requests. */
export interface SharedLoad {
  /** What it is, for a person and in the first columns of the table. */
  readonly name: string
  readonly cells: readonly Cell[]
  readonly plan: LoadPlan
}

export interface PeerRun {
  /** What was measured, or why nothing was. */
  readonly note: string
  readonly isMeasured: boolean
  readonly loads: readonly SharedLoad[]
  /** Keys: `keyOf`. */
  readonly samples: LoadSamples
}

export interface BesideOptions extends PeerOptions {
  /** What the peer is warmed up with. */
  readonly warmUps: readonly LoadPlan[]
  readonly loads: readonly SharedLoad[]
}

/** Starts Ray Serve, measures, and stops it. Without the flag, or where it cannot be had, the note says why there are no figures. */
export async function besideRayServe(context: BenchContext, options: BesideOptions): Promise<PeerRun> {
  const { loads, warmUps } = options
  const samples = new LoadSamples()
  const peer = await startRayServe(context, options)
  try {
    if (peer.kind === 'running') {
      for (const plan of warmUps) {
        context.progress('warming Ray Serve up')
        context.signal.throwIfAborted()
        samples.add('Ray Serve, warm-up', await generateLoad(forPeer(plan, peer), context))
      }
      for (let rep = 1; rep <= context.reps; rep += 1) {
        for (const load of loads) {
          context.progress(`repetition ${rep} of ${context.reps}, beside Ray Serve: ${load.name}`)
          context.signal.throwIfAborted()
          samples.add(keyOf('modelmux', load), await generateLoad(load.plan, context))
          samples.add(keyOf(NAME, load), await generateLoad(forPeer(load.plan, peer), context))
        }
      }
    }
    return { note: noteOf(peer), isMeasured: peer.kind === 'running', loads, samples }
  } finally {
    context.progress('stopping Ray Serve')
    await stopPeer(peer)
  }
}

export function keyOf(server: 'modelmux' | 'Ray Serve', { name }: Pick<SharedLoad, 'name'>): string {
  return `${server}, ${name}`
}

/** Rows side by side under the columns of the loads' cells; no table where nothing was measured. */
export function besideTables({ isMeasured, loads, samples }: PeerRun, columns: readonly Column[]): Table[] {
  if (!isMeasured) return []
  const rows = loads.flatMap((load): Cell[][] => [
    [...load.cells, NAME, ...loadCells(samples, keyOf(NAME, load)), undefined],
    [...load.cells, 'modelmux', ...loadCells(samples, keyOf('modelmux', load)), rpsRatio(samples, load)],
  ])
  const shown = [...columns, { title: 'server' }, ...LOAD_COLUMNS, { title: `of ${NAME}`, unit: 'x' }]
  return [{ title: `Beside ${NAME}, the same load by turns`, columns: shown, rows }]
}

function forPeer(plan: LoadPlan, { server }: Extract<Peer, { kind: 'running' }>): LoadPlan {
  return { ...plan, target: server.target, serverPid: server.pid, namesInHeader: true, timeoutMs: TIMEOUT_MS }
}

export function noteOf(peer: Peer): string {
  if (peer.kind === 'absent') return `${NAME}: not measured (${peer.reason}).`
  const { versions, replicas, modelsPerReplica } = peer
  const models = `at most ${modelsPerReplica} models in each of ${replicas} replicas`
  return `${versions}: multiplexed behind its default proxy, ${models}, the same model files.`
}

/** Undefined where the peer gave no right answer: nothing is infinitely better than silence. */
function rpsRatio(samples: LoadSamples, load: SharedLoad): Cell {
  const rps = (server: 'modelmux' | 'Ray Serve'): number[] =>
    samples.values(keyOf(server, load), (report) => report.rps)
  const theirs = rps(NAME)
  return theirs.length > 0 && theirs.every((value) => value > 0) ? pairedRatio(rps('modelmux'), theirs) : undefined
}
