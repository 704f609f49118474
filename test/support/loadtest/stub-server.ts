/**
 * A server that answers as modelmux would, from the zoo's own arithmetic: for tests of the generator, where every kind of answer must be
 * had on demand. One model class, customers of one recipe; the model's name in the URL says which.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Target } from '../../../loadtest/generator/plan.ts'
import { type ModelClass, modelClass, type NamedTensor } from '../../../loadtest/models/index.ts'

export interface StubOptions {
  readonly seed: number
  /** Called for each inference, 1 first; what it gives replaces the right answer. */
  readonly misbehave?: (request: number) => 'wrong' | 'overloaded' | 'silent' | 'hang-up' | undefined
}

export interface StubServer extends AsyncDisposable {
  readonly target: Target
  /** Models asked for, in order. */
  readonly asked: readonly string[]
}

export async function startStub({ seed, misbehave }: StubOptions): Promise<StubServer> {
  const zooClass = modelClass('XS')
  const asked: string[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      asked.push(modelOf(request))
      const what = misbehave?.(asked.length)
      if (what === 'hang-up') request.socket.destroy()
      else if (what === 'overloaded') send(response, 503, { error: 'queue full', code: 'OVERLOADED' })
      else if (what !== 'silent')
        send(response, 200, answer(zooClass, request, Buffer.concat(chunks), seed, what === 'wrong'))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    target: { host: '127.0.0.1', port: (server.address() as AddressInfo).port },
    asked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

function answer(zooClass: ModelClass, request: IncomingMessage, body: Buffer, seed: number, isWrong: boolean): object {
  const { inputs } = JSON.parse(body.toString()) as { inputs: { name: string; shape: number[]; data: number[] }[] }
  const tensors = inputs.map(
    ({ name, shape, data }): NamedTensor => ({ name, datatype: 'FP32', shape, data: Float32Array.from(data) }),
  )
  const customer = Number(/(\d+)\//.exec(modelOf(request))?.[1]) + (isWrong ? 1 : 0)
  const outputs = zooClass.expected({ customer, family: 'head', seed }, tensors)
  return { outputs: outputs.map((tensor) => ({ ...tensor, data: Array.from(tensor.data as Float32Array) })) }
}

function modelOf({ url = '' }: IncomingMessage): string {
  return url.slice('/v2/models/'.length, -'/infer'.length)
}

function send(response: ServerResponse, status: number, json: object): void {
  const body = Buffer.from(JSON.stringify(json))
  response.writeHead(status, { 'content-length': body.length, 'x-modelmux-cache': 'hit' })
  response.end(body)
}
