/** Entry of the scanner's thread. */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { systemClock } from '../lib/clock.ts'
import { ScanLoop } from './scan-loop.ts'
import type { ScannerCommand, ScannerOptions } from './scan-messages.ts'

const port = parentPort
if (port === null) throw new Error('scanner-main.ts is the entry of a worker thread')

const loop = new ScanLoop(
  workerData as ScannerOptions,
  systemClock,
  (message) => port.postMessage(message),
  nextCommand,
)

function nextCommand(): ScannerCommand | undefined {
  const received: { message: ScannerCommand } | undefined = port === null ? undefined : receiveMessageOnPort(port)
  return received?.message
}

port.on('message', (command: ScannerCommand) => loop.handle(command))
loop.start()
