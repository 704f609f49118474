/**
 * A model open in this worker: its session, its codecs, and the way a hand-over of requests becomes answers.
 *
 *   decode each -> compose runs -> run -> split -> encode each
 *
 * A request fails alone: one that cannot be decoded is left out, and a stacked run that fails is repeated one by one.
 */
import { killPoint } from '../child/kill-points.ts'
import { isDeviceOutOfMemory } from '../domain/device-memory.ts'
import { asGatewayError, GatewayError } from '../domain/errors.ts'
import type { Signature, Tensor } from '../domain/tensor-types.ts'
import { EngineSession } from '../engine/session.ts'
import { mappedOptions, plainOptions } from '../engine/session-options.ts'
import type { Clock } from '../lib/clock.ts'
import type { InferenceRequest } from '../protocol/oip/request.ts'
import { RequestReader } from '../protocol/oip/request.ts'
import { ResponseWriter } from '../protocol/oip/response.ts'
import type { Run } from './batches.ts'
import { planRuns, split, stack } from './batches.ts'
import type { Outcome, ReceivedRequest } from './hand-over-wire.ts'
import type { Batching, HandOverTimes, Hello, OpenSpec } from './messages.ts'

/** What a request came to: its outputs and the rows of the run they come from. */
type Result = { readonly outputs: readonly Tensor[]; readonly rows: number } | { readonly error: GatewayError }

interface Tally {
  runs: number
  rows: number
}

export class Placement {
  readonly #session: EngineSession
  readonly #reader: RequestReader
  readonly #writer: ResponseWriter
  readonly #clock: Clock
  #batching: Batching

  private constructor(session: EngineSession, spec: OpenSpec, { maxAnswerBytes }: Hello, clock: Clock) {
    this.#session = session
    this.#reader = new RequestReader(session.signature)
    this.#writer = new ResponseWriter(spec.model, spec.version, session.signature.outputs, maxAnswerBytes)
    this.#clock = clock
    this.#batching = { isBatchSafe: spec.isBatchSafe, maxRows: spec.maxRows }
  }

  /**
   * What workers open was opened and checked when it was compiled, so a failure is the moment's, never the bytes' for good: its files
   * are looked at again before the next try. @throws GatewayError MODEL_LOAD_FAILED, or CAPACITY_EXHAUSTED when its GPU is out of
   * memory; the engine's words in `cause`
   */
  static async open(spec: OpenSpec, hello: Hello, clock: Clock): Promise<Placement> {
    const { device } = hello
    const { intraOpThreads, isPacked } = spec
    const options =
      spec.form === 'mapped'
        ? mappedOptions({ isPacked, intraOpThreads, device })
        : plainOptions({ intraOpThreads, device })
    return new Placement(await openChecked(spec.file, options), spec, hello, clock)
  }

  get signature(): Signature {
    return this.#session.signature
  }

  setBatching(batching: Batching): void {
    this.#batching = batching
  }

  close(): Promise<void> {
    return this.#session.release()
  }

  /** One outcome for each request, in order; never rejects. */
  async run(received: readonly ReceivedRequest[]): Promise<{ times: HandOverTimes; outcomes: Outcome[] }> {
    const start = this.#clock.now()
    const results: (Result | undefined)[] = received.map(() => undefined)
    const requests = received.map((one, i) => this.#decode(one, i, results))
    const decoded = this.#clock.now()
    killPoint('run')
    const tally = { runs: 0, rows: 0 }
    const inputs = requests.map((request) => request?.inputs)
    for (const run of planRuns(inputs, this.#batching)) await this.#runTogether(run, requests, results, tally)
    const ran = this.#clock.now()
    const outcomes = requests.map((request, i) => this.#encode(request, results[i]))
    const times = { decodeMs: decoded - start, runMs: ran - decoded, encodeMs: this.#clock.now() - ran, ...tally }
    return { times, outcomes }
  }

  #decode(
    { body, jsonBytes }: ReceivedRequest,
    i: number,
    results: (Result | undefined)[],
  ): InferenceRequest | undefined {
    try {
      return this.#reader.read(body, jsonBytes)
    } catch (error) {
      results[i] = { error: asGatewayError(error) }
      return undefined
    }
  }

  async #runTogether(
    run: Run,
    requests: readonly (InferenceRequest | undefined)[],
    results: (Result | undefined)[],
    tally: Tally,
  ): Promise<void> {
    const members = run.members.map((i) => requests[i]).filter((request) => request !== undefined)
    const parts = members.length > 1 ? await this.#runStacked(run, members) : undefined
    if (parts !== undefined) {
      tally.runs++
      tally.rows += run.totalRows
    }
    for (const [place, i] of run.members.entries()) {
      const request = members[place]
      if (request === undefined) continue
      const outputs = parts?.[place]
      results[i] =
        outputs === undefined
          ? await this.#runAlone(request, run.rows[place] ?? 1, tally)
          : { outputs, rows: run.totalRows }
    }
  }

  /** Outputs of each member as it asked for them; undefined when the members have to run one by one. */
  async #runStacked(run: Run, members: readonly InferenceRequest[]): Promise<Tensor[][] | undefined> {
    const wanted = members[0]?.outputs ?? []
    const isUniform = members.every((member) => member.outputs === wanted)
    const names = isUniform
      ? wanted.map(({ name }) => name)
      : [...new Set(members.flatMap(({ outputs }) => outputs.map(({ name }) => name)))]
    try {
      const outputs = await this.#session.run(
        stack(
          members.map(({ inputs }) => inputs),
          run.totalRows,
        ),
        names,
      )
      const parts = split(outputs, run)
      if (parts === undefined || isUniform) return parts
      return parts.map((part, place) => select(part, members[place]))
    } catch {
      // Whoever is to blame fails again alone, with the words that are about that request only.
      return undefined
    }
  }

  async #runAlone({ inputs, outputs }: InferenceRequest, rows: number, tally: Tally): Promise<Result> {
    try {
      const names = outputs.map(({ name }) => name)
      const result = { outputs: await this.#session.run(inputs, names), rows }
      tally.runs++
      tally.rows += rows
      return result
    } catch (error) {
      return { error: asGatewayError(error) }
    }
  }

  #encode(request: InferenceRequest | undefined, result: Result | undefined): Outcome {
    if (result !== undefined && 'error' in result) return result
    if (request === undefined || result === undefined)
      return { error: new GatewayError('INTERNAL', 'a request of a hand-over was not run') }
    try {
      return { response: this.#writer.write(request.id, request.outputs, result.outputs), rows: result.rows }
    } catch (error) {
      return { error: asGatewayError(error) }
    }
  }
}

async function openChecked(file: string, options: Parameters<typeof EngineSession.open>[1]): Promise<EngineSession> {
  try {
    return await EngineSession.open(file, options)
  } catch (error) {
    if (isDeviceOutOfMemory(error)) throw error
    const failed = asGatewayError(error)
    if (failed.code === 'MODEL_LOAD_FAILED') throw failed
    throw new GatewayError(
      'MODEL_LOAD_FAILED',
      'the engine could not open the compiled form of the model, which opened before; the log has its words',
      {},
      { cause: failed.cause ?? failed },
    )
  }
}

/** The outputs that a member asked for, in its order. */
function select(outputs: readonly Tensor[], member: InferenceRequest | undefined): Tensor[] {
  return (member?.outputs ?? []).map(({ name }) => {
    const output = outputs.find((candidate) => candidate.name === name)
    if (output === undefined) throw new GatewayError('INTERNAL', `output '${name}' was asked for and not run`)
    return output
  })
}
