/** `modelmux publish`, with what takes models apart. */
import { splitInThread } from '../artifact/split-thread.ts'
import { publishCommand as publish, standardStreams } from '../cli/publish.ts'

/** @returns the exit code */
export function publishCommand(args: readonly string[], interrupt: AbortSignal): Promise<number> {
  return publish(args, interrupt, { ...standardStreams(), split: splitInThread })
}
