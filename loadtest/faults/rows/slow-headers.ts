/** Row 41: thousands of clients that never finish their headers. */
import { connect, type Socket } from 'node:net'
import type { Target } from '../../generator/plan.ts'
import { expectUntouched } from '../answers.ts'
import { Expectations, type FaultRow } from '../fault.ts'
import type { FaultStage } from '../stage.ts'

const SOCKETS = 5000
const QUICK_SOCKETS = 500
/** Each tick opens so many: 1000 a second. All at once they would be a flood of handshakes, which is another attack. */
const SOCKETS_PER_TICK = 10
const TICK_MS = 10
const DRIP_MS = 2000
const TICKS_PER_DRIP = DRIP_MS / TICK_MS
const HEADERS_TIMEOUT_SECONDS = 10
/** Beyond the timeout: for the server to look, and to close thousands a few at a time. */
const LOOK_SECONDS = 5
const STEADY_MODELS = 10
/** With the stretch of the attack, which is as long, some 3000 requests each: 30 of them lie beyond the p99. */
const STEADY_RPS = 200
const QUIET_MS = 15_000
const QUICK_QUIET_MS = 3000
/** p99 of two quiet stretches differs by as much on a machine with other work; beyond it the sockets are to blame. */
const SLACK = 1.1

export const slowHeaders: FaultRow = {
  number: 41,
  fault: 'slowloris',
  injected: `${SOCKETS} sockets, ${(SOCKETS_PER_TICK * 1000) / TICK_MS} more each second, that send a header byte every two seconds and never end their headers`,
  expected: `all answered 408 and closed at headersTimeout (${HEADERS_TIMEOUT_SECONDS} s); others answered without an error, their p99 within 10 % of the worse of two quiet stretches`,
  limitSeconds: HEADERS_TIMEOUT_SECONDS + LOOK_SECONDS,
  async run(stage) {
    const expect = new Expectations()
    const steady = await stage.writeSteady(STEADY_MODELS)
    const running = await stage.serve()
    await stage.touchAll(running, steady)
    const count = stage.isQuick ? QUICK_SOCKETS : SOCKETS
    const quietMs = stage.isQuick ? QUICK_QUIET_MS : QUIET_MS
    const quiet = async (): Promise<number> => {
      const { report } = await stage.besideSteady(running, steady, () => stage.pause(quietMs), STEADY_RPS)
      return report.latency.p99
    }
    const before = await quiet()
    stage.progress(`${count} sockets`)
    const attack = new SlowClients(running.server.target)
    stage.afterwards(() => Promise.resolve(attack.end()))
    const { value, report } = await stage.besideSteady(
      running,
      steady,
      async () => {
        await attack.grow(stage, count)
        const wait = (HEADERS_TIMEOUT_SECONDS + LOOK_SECONDS) * 2
        return await stage.secondsUntil('all are closed', wait, () => Promise.resolve(attack.open === 0))
      },
      STEADY_RPS,
    )
    const after = await quiet()
    expectUntouched(expect, report)
    expect.equal('sockets answered 408', attack.timedOut, count)
    const calm = Math.max(before, after)
    const { p99 } = report.latency
    expect.that(p99 <= SLACK * calm, `others' p99 ${p99.toFixed(1)} ms, quiet ${calm.toFixed(1)} ms`)
    const measured = `from the last of ${count} opened until all were closed; others' p99 ${p99.toFixed(1)} ms over ${report.answered} requests, in quiet ${before.toFixed(1)} and ${after.toFixed(1)} ms`
    return { seconds: value, measured, problems: expect.problems }
  },
}

/** Open and drip at a steady pace: whoever sends it all in one go holds up itself, and on one machine also what is measured. */
class SlowClients {
  readonly #target: Target
  /** As they were opened, one group a tick. */
  readonly #groups: Socket[][] = []
  #tick = 0
  #stop = (): void => {}
  open = 0
  timedOut = 0

  constructor(target: Target) {
    this.#target = target
  }

  /** Resolves when `count` sockets have been opened; they go on dripping. */
  async grow({ clock }: FaultStage, count: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = clock.every(TICK_MS, () => {
      if (this.#groups.length * SOCKETS_PER_TICK < count) {
        this.#groups.push(Array.from({ length: SOCKETS_PER_TICK }, () => this.#connect()))
      } else resolve()
      for (let group = this.#tick - TICKS_PER_DRIP; group >= 0; group -= TICKS_PER_DRIP)
        for (const socket of this.#groups[group] ?? []) if (socket.writable) socket.write('a')
      this.#tick += 1
    })
    this.#stop = () => timer.cancel()
    await promise
  }

  end(): void {
    this.#stop()
    for (const socket of this.#groups.flat()) socket.destroy()
  }

  #connect(): Socket {
    this.open += 1
    const { port, host } = this.#target
    const socket = connect(port, host, () => socket.write('POST /v2/models/x/infer HTTP/1.1\r\nHost: x\r\nX-Slow: '))
    socket.once('data', (text) => {
      if (text.toString().startsWith('HTTP/1.1 408 ')) this.timedOut += 1
    })
    // `once` alone would pause the stream behind it.
    socket.resume()
    socket.on('error', () => {})
    socket.once('close', () => {
      this.open -= 1
    })
    return socket
  }
}
