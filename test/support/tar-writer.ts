/** Tar archives as archivers write them, and as none would. */
import { gzipSync } from 'node:zlib'

export interface TarMember {
  readonly path: string
  readonly content?: Buffer | string
  /** Type flag of the header; `0` when left out. */
  readonly type?: string
  readonly link?: string
  /** What the header says, when it lies. */
  readonly bytes?: number
}

/** Ends with its end mark unless it is to be cut off. */
export function tar(members: readonly TarMember[], hasEnd = true): Buffer {
  const blocks = members.flatMap(({ path, content = '', type = '0', link = '', bytes }) => {
    const body = Buffer.from(content)
    return [headerOf(path, type, link, bytes ?? body.length), body, Buffer.alloc((512 - (body.length % 512)) % 512)]
  })
  return Buffer.concat([...blocks, Buffer.alloc(hasEnd ? 1024 : 0)])
}

export function tarGz(members: readonly TarMember[]): Buffer {
  return gzipSync(tar(members))
}

/** A pax header that says this of the member behind it. */
export function pax(records: Readonly<Record<string, string>>): TarMember {
  const lines = Object.entries(records).map(([key, value]) => {
    const rest = ` ${key}=${value}\n`
    const bytes = Buffer.byteLength(rest)
    const length = bytes + String(bytes + String(bytes).length).length
    return `${length}${rest}`
  })
  return { path: 'PaxHeaders/x', type: 'x', content: lines.join('') }
}

function headerOf(path: string, type: string, link: string, bytes: number): Buffer {
  const header = Buffer.alloc(512)
  header.write(path, 0, 100)
  header.write('0000644\0', 100)
  header.write(`${bytes.toString(8).padStart(11, '0')}\0`, 124)
  header.write('        ', 148)
  header.write(type, 156)
  header.write(link, 157, 100)
  header.write('ustar\0', 257)
  header.write('00', 263)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return header
}
