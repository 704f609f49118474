/** Single requests to a server under test, one at a time, for benches that look at each answer. */
import { type Clock, pause, systemClock } from '../../src/lib/clock.ts'
import { HttpConnection, type Reply, requestOnce } from '../generator/http-connection.ts'
import { type AnswerTensor, readAnswer } from '../generator/infer-answer.ts'
import { type InferBody, inferRequest, plainRequest } from '../generator/infer-request.ts'
import type { Target } from '../generator/plan.ts'
import { headerOf } from '../generator/response-reader.ts'
import { MetricsSnapshot } from '../measure/metrics.ts'
import { readTreeCpuSeconds } from '../measure/process-tree.ts'

export interface ProbedAnswer {
  readonly ms: number
  /** Milliseconds by phase, from `Server-Timing`. */
  readonly phases: Readonly<Record<string, number>>
  /** `x-modelmux-cache`. */
  readonly cache: string
  readonly outputs: readonly AnswerTensor[]
}

const TIMEOUT_MS = 120_000
const POLL_MS = 50
const NOBODY = 'nobody/has-this-name'
const QUIET_WINDOW_MS = 200
/** CPU seconds in a window that still count as quiet: two clock ticks. */
const QUIET_CPU_SECONDS = 0.02
const QUIET_LIMIT_MS = 60_000

export class HttpProbe {
  readonly #target: Target
  readonly #connection: HttpConnection
  readonly #clock: Clock

  constructor(target: Target, clock: Clock = systemClock) {
    this.#target = target
    this.#clock = clock
    this.#connection = new HttpConnection(target, TIMEOUT_MS, clock)
  }

  /** One inference. Rejects unless it is answered with 200. */
  async infer(model: string, body: InferBody): Promise<ProbedAnswer> {
    return probedAnswer(model, await this.tryInfer(model, body))
  }

  /** One inference, however it is answered. Rejects when it is not answered at all. */
  tryInfer(model: string, body: InferBody, deadlineMs?: number): Promise<Reply> {
    return this.#send(inferRequest(this.#target, model, body, { deadlineMs }))
  }

  /** Any request with a JSON body or none, however it is answered. */
  ask(method: 'GET' | 'POST', path: string, json?: unknown): Promise<Reply> {
    return this.#send(plainRequest(this.#target, method, path, json))
  }

  /** Resolves when the model's memory is given back. */
  async unload(model: string): Promise<void> {
    const reply = await this.ask('POST', `/v2/repository/models/${model}/unload`, {})
    if (reply.status !== 200) throw new Error(`unload of ${model}: status ${reply.status}: ${reply.body.toString()}`)
  }

  async metrics(): Promise<MetricsSnapshot> {
    const reply = await this.ask('GET', '/metrics')
    return MetricsSnapshot.parse(reply.body.toString())
  }

  /** Resolves when the server would serve the model; it may still be scanning its folder. Rejects after `limitMs`. */
  async awaitReady(model: string, limitMs: number, signal: AbortSignal): Promise<void> {
    const endsAt = this.#clock.now() + limitMs
    for (;;) {
      const reply = await this.ask('GET', `/v2/models/${model}/ready`)
      if (reply.status === 200) return
      if (this.#clock.now() > endsAt)
        throw new Error(`${model} was not ready in ${limitMs} ms: ${reply.body.toString()}`)
      await pause(this.#clock, POLL_MS, signal)
    }
  }

  /** Resolves when the whole folder has been looked at: until then a name that is not there may still come. Rejects after `limitMs`. */
  async awaitScan(limitMs: number, signal: AbortSignal): Promise<void> {
    const endsAt = this.#clock.now() + limitMs
    // Another name each time: one that was asked for jumps the scan's queue, and is known to be absent long before the scan is over.
    for (let i = 0; (await this.ask('GET', `/v2/models/${NOBODY}-${i}/ready`)).status !== 404; i += 1) {
      if (this.#clock.now() > endsAt) throw new Error(`the models folder was not read in ${limitMs} ms`)
      await pause(this.#clock, POLL_MS, signal)
    }
  }

  /**
   * Resolves when the server's processes do nothing: what runs after an answer (probes) would be measured with what comes next.
   * Goes on after a minute even so.
   */
  async awaitQuiet(pid: number, signal: AbortSignal): Promise<void> {
    const endsAt = this.#clock.now() + QUIET_LIMIT_MS
    let before = await readTreeCpuSeconds(pid)
    while (this.#clock.now() < endsAt) {
      await pause(this.#clock, QUIET_WINDOW_MS, signal)
      const after = await readTreeCpuSeconds(pid)
      if (after - before <= QUIET_CPU_SECONDS) return
      before = after
    }
  }

  close(): void {
    this.#connection.close()
  }

  #send(pieces: readonly Buffer[]): Promise<Reply> {
    return requestOnce(this.#connection, pieces, this.#clock)
  }
}

/** @throws Error unless the reply is a 200 */
export function probedAnswer(model: string, { status, head, body, ms }: Reply): ProbedAnswer {
  if (status !== 200) throw new Error(`${model}: status ${status}: ${body.toString('utf8', 0, 500)}`)
  return {
    ms,
    phases: parseServerTiming(headerOf(head, 'server-timing') ?? ''),
    cache: headerOf(head, 'x-modelmux-cache') ?? '',
    outputs: readAnswer(head, body),
  }
}

/** Durations of a `Server-Timing` header by metric name; metrics without one are left out. */
export function parseServerTiming(value: string): Record<string, number> {
  const entries = value.split(',').flatMap((metric) => {
    const [name = '', ...parameters] = metric.split(';').map((part) => part.trim())
    const duration = parameters.find((parameter) => parameter.startsWith('dur='))
    return duration === undefined ? [] : [[name, Number(duration.slice('dur='.length))] as const]
  })
  return Object.fromEntries(entries)
}
