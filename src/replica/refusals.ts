/** What clients are told about models and requests that end worker processes. */
import { GatewayError } from '../domain/errors.ts'
import type { QuarantineRecord, Strike } from '../domain/quarantine.ts'
import type { Death } from './death.ts'

/** `file`: what to remove, relative to the cache folder. */
export function refusalOf(record: QuarantineRecord, file: string): GatewayError {
  const { model, version, code, message, since, strikes } = record
  const release = `remove ${file} from the cache folder`
  const last = strikes.at(-1)
  return new GatewayError(code, `${message}; refused since ${iso(since)}. Publish other files, or ${release}`, {
    model,
    version,
    details: {
      since: iso(since),
      strikes: strikes.length,
      release,
      ...(last === undefined ? {} : { strike: last.reason, phase: last.phase, how: last.how }),
    },
  })
}

export function quarantineMessage(name: string, strikes: readonly Strike[]): string {
  const told = strikes.map(
    ({ reason, phase, how, process, at }) => `${reason} (${how}) in ${a(phase)} in ${process} at ${iso(at)}`,
  )
  return `${name} is quarantined, because it ended ${strikes.length} worker processes by itself: ${told.join('; ')}`
}

export function compileMessage(times: number): string {
  return `the compiler process of this model was killed from outside ${times} times in a row, as the system does when memory runs out; give the machine more memory, or make the model smaller`
}

/** The same body again. */
export function repeated({ reason, how, at, process }: Strike, windowMs: number): GatewayError {
  const minutes = Math.ceil(windowMs / 60_000)
  return new GatewayError(
    'WORKER_CRASHED',
    `this very request ${reason === 'hang' ? 'hung' : 'ended'} ${process} at ${iso(at)} (${how}) when it ran alone; it is not run again for ${minutes} minutes from then. Change the request: sending it again does not help`,
    { details: { strike: reason, how, since: iso(at), isRepeated: true } },
  )
}

/** It ran alone, and its worker is gone. */
export function crashedAlone({ cause, how, workerId }: Death): GatewayError {
  const what = {
    crash: `died (${how}) while it ran this request alone; the model brings the engine down on this input. Sending it again does not help`,
    hang: `was stopped because this request, alone, did not end; sending it again does not help`,
    memory: `was stopped because this request, alone, took more memory than a worker may have (${how}); send less at once`,
    outside: `was killed from outside (${how}) while it ran this request, as the system does when the machine is out of memory`,
  }[cause]
  return new GatewayError('WORKER_CRASHED', `the worker process ${what}`, { details: { cause, how, worker: workerId } })
}

export function crashedOpening({ cause, how, workerId }: Death): GatewayError {
  const what = {
    crash: `died (${how}) while it opened the model for this request`,
    hang: 'was stopped because opening the model did not end',
    memory: `was stopped because it held more memory than it may (${how}) when it opened the model`,
    outside: `was killed from outside (${how}) while it opened the model`,
  }[cause]
  return new GatewayError('WORKER_CRASHED', `the worker process ${what}`, {
    details: { cause, how, worker: workerId, phase: 'open' },
  })
}

/** The worker died under several requests, and this one could not be run alone to see whether it is to blame. */
export function untried(why: string, cause?: unknown): GatewayError {
  return new GatewayError(
    'WORKER_CRASHED',
    `the worker process died while it ran this request among others, and it was not run alone: ${why}`,
    {},
    cause === undefined ? {} : { cause },
  )
}

function a(phase: Strike['phase']): string {
  return phase === 'open' ? 'an open' : `a ${phase}`
}

function iso(wall: number): string {
  return new Date(wall).toISOString()
}
