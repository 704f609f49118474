/**
 * Every event that may be logged, with the level it has unless the caller knows better. One vocabulary for whoever greps. What is
 * `kept` also goes into the journal on disk: what happened to models and processes, never requests, of which there are too many.
 */
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal'

interface KeptRow {
  readonly level: LogLevel
}

export const EVENTS = {
  'process.started': kept('info'),
  'process.stopped': kept('info'),
  'process.fault': 'fatal',
  'server.listening': 'info',
  'server.draining': 'info',
  'server.closed': 'info',
  'server.bad-connection': 'debug',
  'server.connections-capped': 'warn',
  'request.done': 'info',
  'request.refused': 'info',
  'request.delayed': 'warn',
  'request.failed': 'error',
  'metrics.reader-failed': 'warn',
  'registry.scanned': 'info',
  'registry.restored': 'info',
  'registry.snapshot_failed': 'warn',
  'registry.folder_unreadable': 'warn',
  'registry.layout_problem': 'warn',
  'registry.model_problem': 'warn',
  'registry.name_skipped': 'warn',
  'registry.foreign_names': 'warn',
  'model.added': 'info',
  'model.changed': 'info',
  'model.removed': 'info',
  'model.example-ignored': 'warn',
  'source.fetched': kept('info'),
  'source.fetch-failed': kept('warn'),
  'source.corrupt': kept('error'),
  'sources.evicted': kept('info'),
  'model.loaded': kept('info'),
  'model.load-failed': kept('warn'),
  'model.evicted': kept('info'),
  'model.drained': kept('info'),
  'artifact.compiled': 'info',
  'artifact.made-up-run-died': 'warn',
  'artifact.probed': 'debug',
  'artifact.probe-failed': 'warn',
  'artifact.rechecked': 'info',
  'artifact.recheck-failed': kept('warn'),
  'artifact.corrupt': kept('error'),
  'model.warm-up-failed': 'warn',
  'model.suspected': kept('warn'),
  'model.struck': kept('error'),
  'model.quarantined': kept('error'),
  'model.released': kept('info'),
  'model.unverified': 'warn',
  'quarantine.unreadable': 'error',
  'quarantine.unwritten': 'error',
  'model.open-failed': kept('warn'),
  'memory.overrun': kept('warn'),
  'memory.major-faults': kept('warn'),
  'memory.pressure': kept('warn'),
  'pin.held': kept('info'),
  'pin.failed': kept('warn'),
  'rollout.started': kept('info'),
  'rollout.done': kept('info'),
  'rollout.failed': kept('warn'),
  'artifacts.opened': 'info',
  'artifacts.swept': 'info',
  'artifacts.evicted': kept('info'),
  'artifacts.over-budget': 'warn',
  'artifacts.collect-failed': 'warn',
  'artifacts.remove-failed': 'warn',
  'artifacts.manifest-unusable': kept('warn'),
  'cache.joined': kept('info'),
  'cache.owner-lost': kept('warn'),
  'cache.unavailable': kept('error'),
  'cache.guest-came': 'info',
  'cache.guest-left': 'info',
  'fleet.fetched': 'info',
  'fleet.fetch-failed': 'warn',
  'fleet.sent': 'info',
  'fleet.dropped': 'warn',
  'fleet.left-alone': kept('warn'),
  'fleet.recovered': kept('info'),
  'compiler.started': 'info',
  'compiler.replaced': kept('warn'),
  'registry.root_lost': kept('error'),
  'registry.root_found': kept('info'),
  'registry.scanner_died': 'error',
  'registry.listener_failed': 'error',
  'event.unlisted': 'warn',
  'device.chosen': kept('info'),
  'device.lost': kept('error'),
  'device.back': kept('info'),
  'device.evicted': kept('info'),
  'device.out-of-memory': kept('warn'),
  'worker.up': kept('info'),
  'worker.start-failed': 'warn',
  'worker.down': kept('warn'),
  'worker.hung': kept('error'),
  'worker.over-memory': kept('error'),
  'worker.recycled': kept('info'),
  'worker.renewed': 'debug',
  'worker.recycle-failed': kept('warn'),
  'traces.not-taken': 'warn',
  'traces.recovered': 'info',
  'journal.failed': 'warn',
  'journal.recovered': 'info',
  'child.line': 'warn',
  'child.lines-dropped': 'warn',
} as const satisfies Record<string, LogLevel | KeptRow>

export type EventName = keyof typeof EVENTS

export function levelOf(name: EventName): LogLevel {
  const row: LogLevel | KeptRow = EVENTS[name]
  return typeof row === 'string' ? row : row.level
}

/** Does the event go into the journal? */
export function isKept(name: EventName): boolean {
  return typeof EVENTS[name] !== 'string'
}

function kept(level: LogLevel): KeptRow {
  return { level }
}
