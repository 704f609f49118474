/** Entry of the thread that takes one model apart, so that the terminal is answered meanwhile. */
import { parentPort, workerData } from 'node:worker_threads'
import { GatewayError } from '../domain/errors.ts'
import type { SplitCall } from '../domain/split-model.ts'
import { splitModel } from './split.ts'
import type { SplitReply } from './split-thread.ts'

const port = parentPort
if (port === null) throw new Error('split-main.ts is the entry of a worker thread')
const reply = (message: SplitReply): void => port.postMessage(message)

try {
  reply({ split: splitModel(workerData as SplitCall, (bytes) => reply({ bytes })) })
} catch (error) {
  if (!(error instanceof GatewayError)) throw error
  reply({ code: error.code, message: error.message })
}
