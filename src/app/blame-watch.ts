/** What logs and metrics learn of models under suspicion. */
import type { EventLog } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { BlameWatch } from './blame-rooms.ts'

export function blameWatch(log: EventLog, metrics: Metrics, onReleased: (key: string) => void): BlameWatch {
  const strikes = metrics.counter('modelmux_strikes_total')
  const suspects = metrics.counter('modelmux_suspects_total')
  return {
    onSuspects: (key, requests, { cause, how, workerId }) => {
      log.event('model.suspected', { key, requests, cause, how, worker: workerId })
    },
    onTried: (verdict) => suspects.with({ verdict }).add(),
    onUnverified: (key, err) => log.event('model.unverified', { key, err }),
    onStruck: ({ key }, strike, counting) => {
      strikes.with({ reason: strike.reason }).add()
      log.event('model.struck', { key, ...strike, at: new Date(strike.at).toISOString(), counting })
    },
    onQuarantined: ({ key, code, message, strikes: all }, file) => {
      log.event('model.quarantined', { key, code, reason: message, strikes: all.length, file })
    },
    onReleased: ({ key }, reason) => {
      log.event('model.released', { key, reason })
      onReleased(key)
    },
    onQuarantineUnwritten: ({ key }, err) => log.event('quarantine.unwritten', { key, err }),
  }
}
