/** The contender of a fetch: curl, several ranges of one object at a time into a file each, nothing checked. */
import { execFile } from 'node:child_process'
import { mkdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Clock, systemClock } from '../../src/lib/clock.ts'
import type { S3Login } from './s3-process.ts'

const run = promisify(execFile)

export interface CurlDownload {
  /** Of the object, path style. */
  readonly url: string
  readonly bytes: number
  readonly rangeBytes: number
  /** Connections. */
  readonly parallel: number
  readonly login: S3Login
  /** Emptied first; on the disk that the other contender writes to. */
  readonly folder: string
}

/** Milliseconds from curl's start to its end. @throws when it fails, or what it wrote has another length */
export async function curlDownload(download: CurlDownload, clock: Clock = systemClock): Promise<number> {
  const { bytes, parallel, folder } = download
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  const config = join(folder, 'curl.txt')
  const ranges = rangesOf(download)
  await writeFile(config, ranges.map((range, i) => request(download, range, join(folder, `${i}`))).join('next\n'))
  const start = clock.now()
  await run('curl', [
    '--silent',
    '--show-error',
    '--parallel',
    '--parallel-immediate',
    `--parallel-max`,
    String(parallel),
    '--config',
    config,
  ])
  const ms = clock.now() - start
  const sizes = await Promise.all(ranges.map((_, i) => stat(join(folder, `${i}`))))
  const got = sizes.reduce((sum, { size }) => sum + size, 0)
  await rm(folder, { recursive: true, force: true })
  if (got !== bytes) throw new Error(`curl wrote ${got} of ${bytes} bytes`)
  return ms
}

/** First line of `curl --version`; undefined when there is no curl. */
export async function curlVersion(): Promise<string | undefined> {
  try {
    const { stdout } = await run('curl', ['--version'])
    return stdout.split(' (')[0]
  } catch {
    return undefined
  }
}

function rangesOf({ bytes, rangeBytes }: CurlDownload): string[] {
  const starts = Array.from({ length: Math.ceil(bytes / rangeBytes) }, (_, i) => i * rangeBytes)
  return starts.map((from) => `${from}-${Math.min(bytes, from + rangeBytes) - 1}`)
}

function request({ url, login }: CurlDownload, range: string, output: string): string {
  return [
    `url = "${url}"`,
    `range = "${range}"`,
    `output = "${output}"`,
    `aws-sigv4 = "aws:amz:${login.region}:s3"`,
    `user = "${login.accessKey}:${login.secretKey}"`,
    // This version of curl leaves it out, and servers want it.
    'header = "x-amz-content-sha256: UNSIGNED-PAYLOAD"',
    'fail',
    '',
  ].join('\n')
}
