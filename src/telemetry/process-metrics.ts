/** Gauges of the main process itself: event loop, memory, and what build it is. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Metrics } from './metrics.ts'

export interface BuildInfo {
  readonly version: string
  readonly onnxruntime: string
  readonly device: string
}

/** Sampling interval of the event loop's delay; what it measures includes the interval itself. */
const RESOLUTION_MS = 20

/** Registers the gauges; the function returned stops the sampling. */
export function observeProcess(metrics: Metrics, build: BuildInfo): () => void {
  const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  delays.enable()
  metrics.observe('modelmux_event_loop_lag_seconds', () => {
    if (delays.count === 0) return undefined
    const lag = [0.5, 0.99, 1].map((quantile) => {
      const ns = quantile === 1 ? delays.max : delays.percentile(quantile * 100)
      return [{ quantile: String(quantile) }, Math.max(0, ns / 1e9 - RESOLUTION_MS / 1000)] as const
    })
    delays.reset()
    return lag
  })
  metrics.observe('modelmux_process_resident_bytes', () => process.memoryUsage.rss())
  metrics.observe('modelmux_build_info', () => [[{ ...build, node: process.version }, 1]])
  return () => delays.disable()
}
