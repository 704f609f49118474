/** An HTTP server that answers what a test says in MLflow's place, and clients of it; all of it ends with `close`. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { RequestListener } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Mlflow } from '../../src/clients/mlflow.ts'
import { MlflowError, type MlflowErrorKind } from '../../src/clients/mlflow-error.ts'
import type { MlflowHttpOptions } from '../../src/clients/mlflow-http.ts'
import { MlflowHttp } from '../../src/clients/mlflow-http.ts'
import { systemClock } from '../../src/lib/clock.ts'

/** For calls to a real server, which may be starved on a machine that does much else. */
export const PATIENT = { tryMs: 120_000, streamIdleMs: 120_000 }

export interface Listening {
  readonly uri: string
  /** Method and URL of each request, as they came. */
  readonly asked: readonly string[]
}

export class MlflowRig {
  readonly #closers: (() => Promise<void>)[] = []

  async listen(listener: RequestListener): Promise<Listening> {
    const asked: string[] = []
    const server = createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`)
      listener(request, response)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    this.atClose(async () => {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    })
    return { uri: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked }
  }

  connect(
    uri: string,
    options: Partial<MlflowHttpOptions> = {},
  ): { readonly http: MlflowHttp; readonly mlflow: Mlflow } {
    const http = new MlflowHttp({ uri, clock: systemClock, random: () => 0, ...options })
    this.atClose(() => http.close())
    return { http, mlflow: new Mlflow(http) }
  }

  atClose(task: () => Promise<void>): void {
    this.#closers.push(task)
  }

  async close(): Promise<void> {
    for (const close of this.#closers.splice(0).toReversed()) await close()
  }
}

/** Answers with these one after the other, and with the last for ever. */
export function answersWith(
  ...list: readonly (readonly [status: number, body: string, headers?: Readonly<Record<string, string>>])[]
): RequestListener {
  let at = 0
  return (_request, response) => {
    const [status, body, headers] = list[Math.min(at++, list.length - 1)] ?? [500, '']
    response.writeHead(status, headers).end(body)
  }
}

/** Waits for the failure of a call to MLflow. */
export async function fails(work: Promise<unknown>, kind: MlflowErrorKind, message?: RegExp): Promise<MlflowError> {
  const error: unknown = await work.then(
    () => assert.fail('it worked'),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof MlflowError, String(error))
  assert.equal(error.kind, kind, error.message)
  if (message !== undefined) assert.match(error.message, message)
  return error
}
