/** Text of a child as lines, however it arrives. A line without end costs no more memory than the longest line there is. */
import type { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'

/** Characters; of a longer line the rest is dropped. */
const MAX_LENGTH = 64 * 1024

/** Calls `onLine` for every line without its end (`\n` or `\r\n`), and for an unended last one. */
export function readLines(stream: Readable, onLine: (line: string) => void): void {
  const decoder = new StringDecoder('utf8')
  let line = ''
  const append = (text: string): void => {
    if (line.length < MAX_LENGTH) line += text.slice(0, MAX_LENGTH - line.length)
  }
  const flush = (): void => {
    const ended = line
    line = ''
    onLine(ended.endsWith('\r') ? ended.slice(0, -1) : ended)
  }
  const read = (text: string): void => {
    let at = 0
    for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n', at)) {
      append(text.slice(at, end))
      flush()
      at = end + 1
    }
    append(text.slice(at))
  }
  stream.on('data', (chunk: Buffer) => read(decoder.write(chunk)))
  stream.once('end', () => {
    read(decoder.end())
    if (line !== '') flush()
  })
  // A pipe that breaks has nothing more to say; the child's end is told elsewhere.
  stream.on('error', () => {})
}
