/** Memory that the machine has not used yet, taken before something is timed. */
import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'

/** Of a model's file: its pages, those of what is made of it, and what its readers and writers hold meanwhile. */
const FACTOR = 4
const PIECE_BYTES = 2 ** 20

/**
 * Has memory behind the machine for what is timed next with a file of so many bytes. In a virtual machine the first use of a page is the
 * host's to serve: a new file of 102 MB took 240 ms to write instead of 17, and only those had to wait for it who keep what they write.
 * `folder`: on the disk that is measured.
 */
export async function takeMemory(folder: string, fileBytes: number): Promise<void> {
  const path = join(folder, 'memory')
  const piece = Buffer.alloc(PIECE_BYTES)
  const file = await open(path, 'w')
  try {
    for (let at = 0; at < FACTOR * fileBytes; at += piece.length) await file.write(piece, 0, piece.length, at)
  } finally {
    await file.close()
    await rm(path)
  }
}
