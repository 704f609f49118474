/**
 * Runs one load plan in this process and says how it went.
 *
 *   plan -> work list -> [warm-up, not counted][measured part] -> what is in flight is answered -> report
 */
import { type Clock, pause, type Timer } from '../../src/lib/clock.ts'
import { readTreeCpuSeconds } from '../measure/process-tree.ts'
import { Rng } from '../models/index.ts'
import { arrivalTimes } from './arrivals.ts'
import { closedLoop } from './closed-loop.ts'
import { HttpConnection } from './http-connection.ts'
import type { Lane } from './lane.ts'
import { modelPicker } from './model-picker.ts'
import { openLoop } from './open-loop.ts'
import type { LoadPlan, LoadReport } from './plan.ts'
import { type HttpResponse, headerOf } from './response-reader.ts'
import { type Observation, Tally } from './tally.ts'
import { type WorkItem, workList } from './work-list.ts'

/**
 * Answers computed ahead: for classes where one takes well under a millisecond, and for all in an open loop, where computing one would
 * hold up the schedule. Others are computed when first needed.
 */
const PREPARED_ANSWERS = 20_000
const PREPARED_CLASSES: ReadonlySet<string> = new Set(['XS'])
const SWEEP_MS = 100
/** After a failure a lane rests: a dead server would be asked in a loop that lets no timer run. */
const REST_MS = 1

export interface LoadEvents {
  /** Everything is prepared; the first request follows, once a promise is kept that this gives. */
  onReady?(): void | Promise<void>
  /** A report over each interval of `plan.progressMs`, counted from zero again. */
  onProgress?(report: LoadReport): void
}

/** `signal` ends the load early; what was measured until then is reported. */
export async function runLoad(
  plan: LoadPlan,
  clock: Clock,
  signal: AbortSignal,
  events: LoadEvents = {},
): Promise<LoadReport> {
  const items = workList(plan)
  if (items.length === 0) throw new RangeError('the plan has no models')
  if (plan.check === 'all') prepareAnswers(plan, items)
  await events.onReady?.()
  const total = new Tally(clock)
  const interval = new Tally(clock)
  const connections = Array.from(
    { length: plan.pace.connections },
    () => new HttpConnection(plan.target, plan.timeoutMs, clock),
  )
  const observe = (observation: Observation): void => {
    total.add(observation)
    if (plan.progressMs > 0) interval.add(observation)
  }
  const lanes = connections.map((connection) => laneOf(connection, plan, clock, observe))
  let cpuAtStart: Promise<number | undefined> = Promise.resolve(undefined)
  const timers = [
    clock.every(SWEEP_MS, () => {
      for (const connection of connections) connection.sweep()
    }),
    clock.after(plan.warmUpSeconds * 1000, () => {
      total.restart()
      cpuAtStart = serverCpu(plan)
    }),
    ...progressTimer(plan, clock, interval, events),
  ]
  const ended = new AbortController()
  const end = pause(clock, lengthMs(plan), AbortSignal.any([signal, ended.signal])).catch(() => {})
  let isOver = false
  try {
    total.restart()
    cpuAtStart = serverCpu(plan)
    const next = nextItem(plan, items, clock, () => isOver)
    const loop = runLoop(plan, lanes, next, clock, total)
    await Promise.race([loop, end])
    isOver = true
    await loop
    const [before, after] = await Promise.all([cpuAtStart, serverCpu(plan)])
    const report = total.report()
    return before === undefined || after === undefined ? report : { ...report, serverCpuSeconds: after - before }
  } finally {
    ended.abort()
    for (const timer of timers) timer.cancel()
    for (const connection of connections) connection.close()
  }
}

async function runLoop(
  plan: LoadPlan,
  lanes: readonly Lane<WorkItem>[],
  next: () => WorkItem | undefined,
  clock: Clock,
  total: Tally,
): Promise<void> {
  const { pace } = plan
  if (pace.kind === 'closed') return closedLoop(lanes, next, () => clock.now())
  const unsent = await openLoop({
    lanes,
    next,
    arrivals: arrivalTimes(pace.arrivals, pace.rps, new Rng('arrivals', plan.seed)),
    clock,
    giveUpAfterMs: lengthMs(plan) + plan.timeoutMs,
    onLate: (ms) => total.late(ms),
  })
  for (let i = 0; i < unsent; i += 1) {
    total.add({ kind: 'error', error: 'unsent', problem: 'no connection was free before the load was over' })
  }
}

/** Bounds the load: nothing after its time or its last request. */
function nextItem(
  plan: LoadPlan,
  items: readonly (readonly WorkItem[])[],
  clock: Clock,
  isOver: () => boolean,
): () => WorkItem | undefined {
  const pick = modelPicker(plan.popularity, items.length, plan.seed, clock)
  const inputs = new Rng('choice of input', plan.seed)
  let sent = 0
  return () => {
    if (isOver() || sent >= plan.maxRequests) return undefined
    const index = pick()
    if (index === undefined) return undefined
    sent += 1
    const list = items[index]
    return list?.[list.length === 1 ? 0 : inputs.below(list.length)]
  }
}

function laneOf(
  connection: HttpConnection,
  plan: LoadPlan,
  clock: Clock,
  observe: (observation: Observation) => void,
): Lane<WorkItem> {
  return (item, dueAt, done) =>
    connection.send(item.pieces, {
      onResponse(response) {
        observe(observationOf(item, response, clock.now() - dueAt, plan.check))
        done()
      },
      onFailure(failure, reason) {
        observe({ kind: 'error', error: failure, problem: `${item.model}: ${failure}: ${reason}` })
        clock.after(REST_MS, done)
      },
    })
}

function observationOf(item: WorkItem, response: HttpResponse, ms: number, check: LoadPlan['check']): Observation {
  const { status, head, body } = response
  if (status !== 200) {
    const problem = `${item.model}: status ${status}: ${body.toString('utf8', 0, 300)}`
    return { kind: 'error', error: `status ${status}`, problem }
  }
  const problem = check === 'all' ? item.problem(response) : undefined
  if (problem !== undefined) return { kind: 'wrong', problem: `${item.model}: ${problem}` }
  return { kind: 'right', ms, cache: headerOf(head, 'x-modelmux-cache') }
}

function progressTimer(plan: LoadPlan, clock: Clock, interval: Tally, events: LoadEvents): Timer[] {
  if (plan.progressMs <= 0) return []
  const timer = clock.every(plan.progressMs, () => {
    events.onProgress?.(interval.report())
    interval.restart()
  })
  return [timer]
}

function prepareAnswers(plan: LoadPlan, items: readonly (readonly WorkItem[])[]): void {
  const isCheap = plan.groups.every((group) => PREPARED_CLASSES.has(group.className))
  if (plan.pace.kind === 'closed' && !isCheap) return
  if (items.length * plan.inputsPerModel > PREPARED_ANSWERS) return
  for (const list of items) for (const item of list) item.prepare()
}

async function serverCpu({ serverPid }: LoadPlan): Promise<number | undefined> {
  return serverPid === undefined ? undefined : readTreeCpuSeconds(serverPid)
}

function lengthMs(plan: LoadPlan): number {
  return (plan.warmUpSeconds + plan.seconds) * 1000
}
