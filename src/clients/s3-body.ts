/** The body of an answer as its bytes come: counted, ended by the signal, and never the end of the process. */
import type { Readable } from 'node:stream'
import { asS3Error, S3Error } from './s3-error.ts'

/**
 * Exactly `bytes` bytes. Take it to its end, leave the loop, or abort: until then it holds a connection.
 * @throws S3Error `unavailable` for a body that breaks off or is longer or shorter than it should be; the signal's reason
 */
export function countedBody(body: Readable, bytes: number, signal?: AbortSignal): AsyncIterable<Uint8Array> {
  // A connection may break before the first read, and an 'error' that nobody listens to ends the process.
  body.on('error', () => undefined)
  const onAbort = () => body.destroy()
  signal?.addEventListener('abort', onAbort, { once: true })
  body.once('close', () => signal?.removeEventListener('abort', onAbort))
  if (signal?.aborted === true) onAbort()
  return counted(body, bytes, signal)
}

async function* counted(body: Readable, bytes: number, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  let seen = 0
  try {
    for await (const chunk of body as AsyncIterable<Uint8Array>) {
      seen += chunk.length
      if (seen > bytes) throw new S3Error('unavailable', `S3 sent more than the ${bytes} bytes asked for`)
      yield chunk
    }
  } catch (error) {
    throw asS3Error(error, signal)
  }
  signal?.throwIfAborted()
  // A stream may end without an error before all of it came.
  if (seen < bytes) throw new S3Error('unavailable', `S3 sent ${seen} of ${bytes} bytes`)
}
