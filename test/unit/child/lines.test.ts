import assert from 'node:assert/strict'
import { once } from 'node:events'
import { PassThrough } from 'node:stream'
import { describe, it } from 'node:test'
import { readLines } from '../../../src/child/lines.ts'

async function linesOf(...chunks: readonly (string | Buffer)[]): Promise<string[]> {
  const lines: string[] = []
  const stream = new PassThrough()
  readLines(stream, (line) => lines.push(line))
  for (const chunk of chunks) stream.write(chunk)
  stream.end()
  await once(stream, 'close')
  return lines
}

describe('readLines', () => {
  it('gives lines as they end, whatever the chunks, and an unended last one', async () => {
    assert.deepEqual(await linesOf('a\nb', 'c\r', '\n\n', 'd'), ['a', 'bc', '', 'd'])
    assert.deepEqual(await linesOf('a\n'), ['a'])
    assert.deepEqual(await linesOf(), [])
  })

  it('keeps characters whole that two chunks share', async () => {
    const bytes = Buffer.from('é€\n')
    assert.deepEqual(await linesOf(...Array.from(bytes, (byte) => Buffer.of(byte))), ['é€'])
  })

  it('cuts a line that is too long and drops its rest, but not the next line', async () => {
    const chunks = Array.from({ length: 100 }, () => 'x'.repeat(10_000))
    const lines = await linesOf(...chunks, '\nnext\n')
    assert.deepEqual(
      lines.map((line) => line.length),
      [64 * 1024, 4],
    )
  })
})
