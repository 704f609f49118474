/**
 * Looks at the worker processes every few seconds: processor time, pages that they had to wait for the disk for, restarts. Mapped
 * models whose pages the kernel had to give up run several times slower for as long as memory is short, and nothing else shows it:
 * so major faults and memory pressure are alarms.
 */
import type { MemoryPressure } from '../child/memory-pressure.ts'
import type { ProcessStat } from '../child/process-stat.ts'
import { Alarm } from '../lib/alarm.ts'
import type { Clock, Timer } from '../lib/clock.ts'
import { detach } from '../lib/detach.ts'
import type { EventLog } from '../telemetry/log.ts'

export interface WatchedWorker {
  /** What stays the same when a successor takes the worker's place. */
  readonly slot: string
  /** 0 when there is no process. */
  readonly pid: number
}

export interface VitalsOptions {
  readonly clock: Clock
  readonly log: EventLog
  readonly workers: () => readonly WatchedWorker[]
  readonly readStat: (pid: number) => Promise<ProcessStat | undefined>
  readonly readPressure: () => Promise<MemoryPressure | undefined>
  /** Major faults a second of all workers together that are too many; 0 = no alarm. */
  readonly majorFaultsAlarm: number
  /** Were requests answered lately? Faults of a server that only loads are no harm. */
  readonly isServing: () => boolean
}

export interface Vitals {
  /** Cores kept busy between the last two looks; undefined before there were two at this process. */
  readonly busyCores: number | undefined
  readonly majorFaultsPerSecond: number
  /** Since the server started, over all processes of this worker. */
  readonly majorFaults: number
  readonly restarts: number
}

interface Watched {
  pid: number
  at: number
  stat: ProcessStat | undefined
  busyCores: number | undefined
  majorFaultsPerSecond: number
  majorFaults: number
  restarts: number
}

const LOOK_MS = 2000
const LOOKS_IN_A_ROW = 3
/** Share of time in which everything stood still for want of memory. */
const PRESSURE_LIMIT = 0.1

export class WorkerVitals {
  readonly #options: VitalsOptions
  readonly #watched = new Map<string, Watched>()
  readonly #timer: Timer
  readonly #faults: Alarm
  readonly #stalls = new Alarm({ limit: PRESSURE_LIMIT, inARow: LOOKS_IN_A_ROW })
  #pressure: { readonly at: number; readonly total: MemoryPressure } | undefined
  #isLooking = false

  constructor(options: VitalsOptions) {
    this.#options = options
    const { clock, majorFaultsAlarm } = options
    this.#faults = new Alarm({ limit: majorFaultsAlarm, inARow: LOOKS_IN_A_ROW })
    this.#timer = clock.every(LOOK_MS, () => detach(this.#look()))
  }

  of(slot: string): Vitals {
    return this.#entry(slot)
  }

  /** The worker's process died. */
  down(slot: string): void {
    this.#entry(slot).restarts++
  }

  close(): void {
    this.#timer.cancel()
  }

  async #look(): Promise<void> {
    // A machine that thrashes may take longer for one look than the pause between two.
    if (this.#isLooking) return
    this.#isLooking = true
    const { workers } = this.#options
    await Promise.all(workers().map((worker) => this.#lookAt(worker)))
    let perSecond = 0
    for (const { majorFaultsPerSecond } of this.#watched.values()) perSecond += majorFaultsPerSecond
    this.#judgeFaults(perSecond)
    await this.#lookAtPressure()
    this.#isLooking = false
  }

  async #lookAt({ slot, pid }: WatchedWorker): Promise<void> {
    const { clock, readStat } = this.#options
    const entry = this.#entry(slot)
    const stat = pid === 0 ? undefined : await readStat(pid)
    const now = clock.now()
    const before = entry.pid === pid ? entry.stat : undefined
    const seconds = (now - entry.at) / 1000
    const grew = stat === undefined || before === undefined || seconds <= 0 ? undefined : growth(before, stat)
    entry.busyCores = grew === undefined ? undefined : grew.cpuMs / 1000 / seconds
    entry.majorFaultsPerSecond = grew === undefined ? 0 : grew.majorFaults / seconds
    // Those of its start, mostly its own program, are counted as well: the sum is what the process did.
    entry.majorFaults += grew?.majorFaults ?? stat?.majorFaults ?? 0
    Object.assign(entry, { pid, stat, at: now })
  }

  async #lookAtPressure(): Promise<void> {
    const { clock, log, readPressure } = this.#options
    const total = await readPressure()
    const before = this.#pressure
    const at = clock.now()
    this.#pressure = total === undefined ? undefined : { at, total }
    if (total === undefined || before === undefined || at <= before.at) return
    const share = (total.fullSeconds - before.total.fullSeconds) / ((at - before.at) / 1000)
    const change = this.#stalls.next(share)
    if (change !== undefined) log.event('memory.pressure', { is: change, stalledShare: Math.round(share * 100) / 100 })
  }

  #judgeFaults(perSecond: number): void {
    const { majorFaultsAlarm, isServing, log } = this.#options
    if (majorFaultsAlarm === 0) return
    const change = this.#faults.next(isServing() ? perSecond : 0)
    if (change === undefined) return
    log.event('memory.major-faults', { is: change, perSecond: Math.round(perSecond), limit: majorFaultsAlarm })
  }

  #entry(slot: string): Watched {
    const known = this.#watched.get(slot)
    if (known !== undefined) return known
    const entry: Watched = {
      pid: 0,
      at: 0,
      stat: undefined,
      busyCores: undefined,
      majorFaultsPerSecond: 0,
      majorFaults: 0,
      restarts: 0,
    }
    this.#watched.set(slot, entry)
    return entry
  }
}

function growth(before: ProcessStat, after: ProcessStat): ProcessStat {
  return { majorFaults: after.majorFaults - before.majorFaults, cpuMs: after.cpuMs - before.cpuMs }
}
