/** How this room says no: to a model, and when the disk says it. */

import type { ErrorFacts } from '../domain/errors.ts'
import { GatewayError } from '../domain/errors.ts'

/** The model file itself is at fault: the message says what is wrong with it and how to put it right. */
export function refusal(message: string, details?: NonNullable<ErrorFacts['details']>, cause?: unknown): GatewayError {
  return new GatewayError(
    'ARTIFACT_INVALID',
    message,
    details === undefined ? {} : { details },
    cause === undefined ? {} : { cause },
  )
}

const DISK_FULL: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT'])
/** A file system mounted read-only, and a folder that belongs to somebody else. */
const READ_ONLY: ReadonlySet<unknown> = new Set(['EROFS', 'EACCES', 'EPERM'])

export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}

export function isReadOnlyError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && READ_ONLY.has(error.code)
}

/** An error of the operating system, which says nothing about a model. */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error && 'code' in error
}

/** A disk that takes no more, or nothing at all, as an error of ours; anything else as it is. */
export function wrapDiskTrouble(error: unknown): unknown {
  if (hasCode(error, 'EROFS')) return readOnlyFolder(error)
  if (!isSystemError(error) || !DISK_FULL.has(error.code)) return error
  return diskFull(error)
}

export function diskFull(cause?: unknown): GatewayError {
  return new GatewayError(
    'CAPACITY_EXHAUSTED',
    'the disk of the cache folder is full; give it room, or lower cache.diskBytes so that artifacts are evicted in time',
    { retryAfterMs: 5_000 },
    cause === undefined ? {} : { cause },
  )
}

/** Why nothing can be compiled into a folder that cannot be written to. Evicting would not help. */
export function readOnlyFolder(cause?: unknown): GatewayError {
  return new GatewayError(
    'CAPACITY_EXHAUSTED',
    'the cache folder is read-only, so that only models compiled before can be served; make it writable, or name another with cache.dir',
    { retryAfterMs: 60_000, details: { isReadOnly: true } },
    cause === undefined ? {} : { cause },
  )
}

/** Is there something that making room can do about it? */
export function isDiskFull(error: unknown): boolean {
  return (
    error instanceof GatewayError &&
    error.code === 'CAPACITY_EXHAUSTED' &&
    error.facts.details?.isReadOnly === undefined
  )
}
