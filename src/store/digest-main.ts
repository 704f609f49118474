/** Entry of the digest thread: digests files behind those who write them, from the page cache, off the thread that serves. */
import { parentPort } from 'node:worker_threads'
import type { DigestCommand, DigestReply } from './digest-messages.ts'
import { FileDigest } from './file-digest.ts'

const port = parentPort
if (port === null) throw new Error('digest-main.ts is the entry of a worker thread')

const open = new Map<number, FileDigest>()
const reply = (message: DigestReply): void => port.postMessage(message)

port.on('message', (command: DigestCommand) => {
  try {
    handle(command)
  } catch (error) {
    close(command.id)
    reply({ id: command.id, error: error instanceof Error ? error.message : String(error) })
  }
})

function handle(command: DigestCommand): void {
  const { id } = command
  if (command.kind === 'begin') open.set(id, new FileDigest(command.path, command.crc))
  const file = open.get(id)
  // One that failed has said so.
  if (file === undefined) return
  if (command.kind === 'follow') file.follow(command.bytes)
  if (command.kind === 'restart') file.restart()
  if (command.kind === 'end') reply({ id, digests: file.end(command.bytes) })
  if (command.kind === 'end' || command.kind === 'abandon') close(id)
}

function close(id: number): void {
  open.get(id)?.close()
  open.delete(id)
}
