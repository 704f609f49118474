/** Takes a model apart in a thread of its own, which ends with the call. */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { type ErrorCode, GatewayError } from '../domain/errors.ts'
import type { SplitCall, SplitModel } from '../domain/split-model.ts'

export type SplitReply =
  | { readonly bytes: number }
  | { readonly split: SplitModel }
  | { readonly code: ErrorCode; readonly message: string }

export async function splitInThread(
  call: SplitCall,
  onBytes: (bytes: number) => void,
  signal: AbortSignal,
): Promise<SplitModel> {
  signal.throwIfAborted()
  // The entry is a sibling of this module, in source and in the packed form alike.
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const worker = new Worker(new URL(`./split-main.${extension}`, import.meta.url), {
    name: 'split-model',
    env: {},
    workerData: call,
  })
  let split: SplitModel | undefined
  let refused: GatewayError | undefined
  worker.on('message', (reply: SplitReply) => {
    if ('bytes' in reply) onBytes(reply.bytes)
    else if ('split' in reply) split = reply.split
    else refused = new GatewayError(reply.code, reply.message)
  })
  try {
    await once(worker, 'exit', { signal })
  } catch (error) {
    signal.throwIfAborted()
    throw error
  } finally {
    await worker.terminate()
  }
  if (refused !== undefined) throw refused
  if (split === undefined) throw new Error('the thread that takes a model apart ended without a word')
  return split
}
