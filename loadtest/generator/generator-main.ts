/** The generator's own process: takes one plan over the channel to its parent, runs it, sends reports back, and ends with the channel. */
import { systemClock } from '../../src/lib/clock.ts'
import { runLoad } from './load.ts'
import type { FromGenerator, ToGenerator } from './load-generator.ts'

const stopped = new AbortController()
const begun = Promise.withResolvers<void>()

function tell(message: FromGenerator): void {
  process.send?.(message)
}

async function run(message: Extract<ToGenerator, { kind: 'run' }>): Promise<void> {
  try {
    const report = await runLoad(message.plan, systemClock, stopped.signal, {
      onReady: () => {
        tell({ kind: 'ready' })
        return begun.promise
      },
      onProgress: (progress) => tell({ kind: 'progress', report: progress }),
    })
    tell({ kind: 'done', report })
  } catch (error) {
    tell({ kind: 'failed', reason: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  }
  process.disconnect()
}

process.on('message', (message: ToGenerator) => {
  if (message.kind === 'begin') begun.resolve()
  else if (message.kind === 'stop') {
    stopped.abort()
    begun.resolve()
  } else run(message).catch((error: unknown) => tell({ kind: 'failed', reason: String(error) }))
})
// The terminal sends Ctrl-C to the whole group; the parent decides when this process stops.
process.on('SIGINT', () => {})
process.once('disconnect', () => {
  stopped.abort()
  begun.resolve()
})
