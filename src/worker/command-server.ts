/**
 * The child's side of a worker: its placements, and what each command does to them. Commands are executed one after the other in the
 * order they came, so that an open may be followed by runs without waiting for it.
 */
import { readFileSync } from 'node:fs'
import { killPoint } from '../child/kill-points.ts'
import { countMappings, parseStatus } from '../child/memory.ts'
import { asGatewayError, GatewayError } from '../domain/errors.ts'
import { firstRun } from '../engine/first-run.ts'
import type { Clock } from '../lib/clock.ts'
import { asInferenceRequest } from '../protocol/oip/plain-example.ts'
import { COMMAND } from './commands.ts'
import { DeviceMeter } from './device-meter.ts'
import type { ReceivedRequest } from './hand-over-wire.ts'
import { decodeHandOver, encodeReply } from './hand-over-wire.ts'
import type { Batching, Hello, OpenReport, OpenSpec } from './messages.ts'
import { Placement } from './placement.ts'

/** Failed opens remembered for the runs that were sent along with them. */
const MAX_FAILED = 1000

export class CommandServer {
  readonly #clock: Clock
  readonly #placements = new Map<number, Placement>()
  readonly #failed = new Map<number, GatewayError>()
  #last: Promise<unknown> = Promise.resolve()
  #isEnded = false
  /** What holds for every session of this process. */
  #hello: Hello = { device: 'cpu' }
  #meter: DeviceMeter | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Queues a command behind all earlier ones; resolves to the parts of its reply. */
  readonly handle = (kind: number, payload: Buffer): Promise<readonly Uint8Array[]> => {
    const reply = this.#last.then(() => this.#execute(kind, payload))
    this.#last = reply.catch(() => undefined)
    return reply
  }

  /** Nobody waits for answers any more: what is still queued is not done. */
  readonly end = (): void => {
    this.#isEnded = true
  }

  async #execute(kind: number, payload: Buffer): Promise<readonly Uint8Array[]> {
    if (this.#isEnded) return []
    switch (kind) {
      case COMMAND.hello:
        this.#hello = parse(payload) as Hello
        await firstRun(this.#hello.device)
        this.#meter = new DeviceMeter(this.#hello.device, process.pid)
        return []
      case COMMAND.open:
        return [Buffer.from(JSON.stringify(await this.#open(parse(payload) as OpenSpec)))]
      case COMMAND.close:
        await this.#close((parse(payload) as { placementId: number }).placementId)
        return []
      case COMMAND.run: {
        const { placementId, requests } = decodeHandOver(payload)
        const { times, outcomes } = await this.#placement(placementId).run(requests)
        return encodeReply(times, outcomes)
      }
      case COMMAND.setBatching: {
        const { placementId, ...batching } = parse(payload) as Batching & { placementId: number }
        this.#placements.get(placementId)?.setBatching(batching)
        return []
      }
      default:
        throw new GatewayError('INTERNAL', `a worker was sent a command of unknown kind ${kind}`)
    }
  }

  async #open(spec: OpenSpec): Promise<OpenReport> {
    const { placementId } = spec
    if (this.#placements.has(placementId))
      throw new GatewayError('INTERNAL', `placement ${placementId} is open already`)
    this.#failed.delete(placementId)
    const mappingsBefore = spec.mappings === undefined ? await countMappings('self') : 0
    const onDeviceBefore = spec.measuresDevice === true ? await this.#meter?.read() : undefined
    const bytesBefore = privateBytes()
    const start = this.#clock.now()
    let placement: Placement
    try {
      placement = await Placement.open(spec, this.#hello, this.#clock)
    } catch (error) {
      this.#rememberFailure(placementId, asGatewayError(error))
      throw error
    }
    const openMs = this.#clock.now() - start
    killPoint('open')
    const grownBytes = Math.max(0, privateBytes() - bytesBefore)
    const mappings = spec.mappings ?? Math.max(0, (await countMappings('self')) - mappingsBefore)
    this.#placements.set(placementId, placement)
    const opened = this.#clock.now()
    const warmUpErrors = await warmUp(placement, spec.warmUp)
    const warmUpMs = this.#clock.now() - opened
    const onDevice = onDeviceBefore === undefined ? undefined : await this.#meter?.read()
    const deviceBytes = Math.max(0, (onDevice ?? Number.NaN) - (onDeviceBefore ?? Number.NaN))
    return {
      openMs,
      privateBytes: grownBytes,
      mappings,
      warmUpMs,
      warmUpErrors,
      ...(Number.isNaN(deviceBytes) ? {} : { deviceBytes }),
    }
  }

  #rememberFailure(placementId: number, error: GatewayError): void {
    this.#failed.set(placementId, error)
    for (const oldest of this.#failed.keys()) {
      if (this.#failed.size <= MAX_FAILED) break
      this.#failed.delete(oldest)
    }
  }

  /** Closing what is not open is not an error: its open may have failed. */
  async #close(placementId: number): Promise<void> {
    this.#failed.delete(placementId)
    const placement = this.#placements.get(placementId)
    this.#placements.delete(placementId)
    if (placement !== undefined) killPoint('close')
    await placement?.close()
  }

  #placement(placementId: number): Placement {
    const placement = this.#placements.get(placementId)
    if (placement !== undefined) return placement
    throw (
      this.#failed.get(placementId) ??
      new GatewayError('INTERNAL', `placement ${placementId} is not open in this worker`)
    )
  }
}

async function warmUp(placement: Placement, requests: readonly unknown[]): Promise<string[]> {
  if (requests.length === 0) return []
  const received = requests.map((request): ReceivedRequest => {
    return { body: Buffer.from(JSON.stringify(asInferenceRequest(request, placement.signature))) }
  })
  const { outcomes } = await placement.run(received)
  return outcomes.flatMap((outcome) => ('error' in outcome ? [outcome.error.message] : []))
}

/** Read synchronously: an event loop turn in between would count other work's memory. */
function privateBytes(): number {
  return parseStatus(readFileSync('/proc/self/status', 'latin1')).privateBytes
}

function parse(payload: Buffer): unknown {
  return JSON.parse(payload.toString())
}
