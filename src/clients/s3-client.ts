/** The SDK's client as modelmux wants it: any server that speaks S3; credentials, profiles and roles found by the SDK's own chain. */
import { S3Client } from '@aws-sdk/client-s3'
import type { Clock } from '../lib/clock.ts'
import { BulkAgent } from './bulk-agent.ts'
import { keepAddresses } from './kept-addresses.ts'
import { asS3Error } from './s3-error.ts'

export interface S3Options {
  /** `http://host:9000`; null = AWS. */
  readonly endpoint: string | null
  /** null = as the environment or the profile says; us-east-1 where an endpoint is given and neither says. */
  readonly region: string | null
  /** `http://host/bucket/key` instead of `http://bucket.host/key`. */
  readonly pathStyle: boolean
  /** Tries of one call; 1 where the caller resumes by itself. */
  readonly attempts: number
  readonly connectTimeoutMs: number
  /** Until the headers of an answer, from the first byte of the request. */
  readonly answerTimeoutMs: number
  readonly maxConnections: number
  readonly clock: Clock
}

/** An object as it is named. At most one of the last two is needed to hold on to the very bytes. */
export interface S3ObjectName {
  readonly bucket: string
  readonly key: string
  readonly versionId?: string | undefined
  /** With quotes, as the server gave it. */
  readonly etag?: string | undefined
}

/** For servers that do not care. */
const ANY_REGION = 'us-east-1'
const SILENT = { trace() {}, debug() {}, info() {}, warn() {}, error() {} }

export function makeClient({ endpoint, region, pathStyle, attempts, clock, ...limits }: S3Options): S3Client {
  const agent = { keepAlive: true, maxSockets: limits.maxConnections, lookup: keepAddresses(clock) }
  return new S3Client({
    ...(endpoint === null ? {} : { endpoint }),
    ...(region === null ? (endpoint === null ? {} : { region: regionHereOrAny() }) : { region }),
    forcePathStyle: pathStyle,
    maxAttempts: attempts,
    // What is fetched is checked against digests of our own; the SDK's check wraps bodies in a stream that loses aborts.
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestChecksumCalculation: 'WHEN_REQUIRED',
    // The default writes warnings to the console.
    logger: SILENT,
    requestHandler: {
      connectionTimeout: limits.connectTimeoutMs,
      requestTimeout: limits.answerTimeoutMs,
      throwOnRequestTimeout: true,
      httpAgent: new BulkAgent(agent),
      httpsAgent: agent,
      logger: SILENT,
    },
  })
}

/** What goes with each command, for its signal to end it. */
export interface CallOptions {
  readonly abortSignal?: AbortSignal
}

/** Makes a call. @throws S3Error, or the signal's reason */
export async function ask<T>(signal: AbortSignal | undefined, call: (options: CallOptions) => Promise<T>): Promise<T> {
  try {
    return await call(signal === undefined ? {} : { abortSignal: signal })
  } catch (error) {
    throw asS3Error(error, signal)
  }
}

function regionHereOrAny(): () => Promise<string> {
  // A client that is given no region looks where the SDK looks.
  const here = new S3Client({ logger: SILENT }).config.region
  return () => here().catch(() => ANY_REGION)
}
