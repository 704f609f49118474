/** Starts the generator in a process of its own, so that it never shares an event loop with what it measures. */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { LoadPlan, LoadReport } from './plan.ts'

export type ToGenerator =
  | { readonly kind: 'run'; readonly plan: LoadPlan }
  /** Answers `ready`. */
  | { readonly kind: 'begin' }
  | { readonly kind: 'stop' }

export type FromGenerator =
  | { readonly kind: 'ready' }
  | { readonly kind: 'progress'; readonly report: LoadReport }
  | { readonly kind: 'done'; readonly report: LoadReport }
  | { readonly kind: 'failed'; readonly reason: string }

export interface LoadHooks {
  /** Everything is prepared; the load begins once a promise is kept that this gives. */
  onReady?(): void | Promise<void>
  onProgress?(report: LoadReport): void
  /** Ends the load early; what was measured until then is reported. */
  readonly signal?: AbortSignal
}

/** Runs a plan to its end. Rejects when the generator itself fails; what the server does wrong is in the report. */
export async function generateLoad(plan: LoadPlan, hooks: LoadHooks = {}): Promise<LoadReport> {
  const child = fork(fileURLToPath(new URL('./generator-main.ts', import.meta.url)), { execArgv: ['--no-warnings'] })
  const stop = (): void => tell(child, { kind: 'stop' })
  hooks.signal?.addEventListener('abort', stop, { once: true })
  try {
    tell(child, { kind: 'run', plan })
    if (hooks.signal?.aborted === true) stop()
    return await reportOf(child, hooks)
  } finally {
    hooks.signal?.removeEventListener('abort', stop)
    child.kill('SIGKILL')
  }
}

function reportOf(child: ChildProcess, hooks: LoadHooks): Promise<LoadReport> {
  return new Promise((resolve, reject) => {
    child.on('message', (message: FromGenerator) => {
      switch (message.kind) {
        case 'ready':
          begin(child, hooks).catch(reject)
          return
        case 'progress':
          hooks.onProgress?.(message.report)
          return
        case 'done':
          resolve(message.report)
          return
        case 'failed':
          reject(new Error(`the load generator failed: ${message.reason}`))
      }
    })
    child.once('error', reject)
    child.once('exit', (code, signal) => reject(new Error(`the load generator ended early (${signal ?? code})`)))
  })
}

async function begin(child: ChildProcess, hooks: LoadHooks): Promise<void> {
  await hooks.onReady?.()
  tell(child, { kind: 'begin' })
}

function tell(child: ChildProcess, message: ToGenerator): void {
  if (child.connected) child.send(message)
}
