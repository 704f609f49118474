/**
 * Named places where a process ends itself with SIGKILL, for tests of what a kill leaves behind. The variable below in the environment
 * names one of them, and spawned children inherit it; without it a place costs a comparison.
 *
 *   KILL_MODELMUX_AT = <point>[:<passage>][+server]
 *
 * The passage, 1 when left out, counts per process. `+server`: a child takes the server with it, which it kills first.
 */

/** In the order of a model's life: its compile, the manifest, its sessions, its end. */
const KILL_POINTS = [
  /** Compiler: the job's staging folder is made. */
  'staging',
  /** Compiler: the source is digested. */
  'digest',
  /** Compiler: the structure is walked, nothing is digested. */
  'walk',
  /** Compiler: the optimised graph is saved in staging. */
  'optimise',
  /** Compiler: odd passages, a tensor lies in staging; even ones, it lies where it belongs. */
  'blob',
  /** Compiler: the graph lies where it belongs, and all it refers to. */
  'graph',
  /** Compiler: the answers agree. */
  'check',
  /** Server: the manifest lies in staging. */
  'manifest',
  /** Server: the manifest lies where it belongs; nobody was told. */
  'rename',
  /** Worker: the session is open, its parent waits. */
  'open',
  /** Worker: requests are decoded and about to run. */
  'run',
  /** Worker: the session is about to be closed. */
  'close',
  /** Server: between the steps of taking an artifact off the disk, manifest, graph, plain copy, and each blob after them. */
  'evict',
  /** Server: odd passages, a quarantine record lies in staging; even ones, it lies where it belongs. */
  'quarantine',
] as const

export type KillPoint = (typeof KILL_POINTS)[number]

const VARIABLE = 'KILL_MODELMUX_AT'
/** Whom a child kills first. */
const SERVER_VARIABLE = 'KILL_MODELMUX_SERVER'

interface Order {
  readonly point: KillPoint
  /** Passages left. */
  left: number
  readonly takesServer: boolean
}

/** One for the process, because a kill is of the process. */
let order = readOrder(process.env[VARIABLE])

/** Does not return when this is the place and the passage. */
export function killPoint(name: KillPoint): void {
  if (order === undefined || order.point !== name || --order.left > 0) return
  const server = process.env[SERVER_VARIABLE]
  if (order.takesServer && server !== undefined) process.kill(Number(server), 'SIGKILL')
  process.kill(process.pid, 'SIGKILL')
}

/** Runs work of nobody's, such as a rehearsal at start, that must not count as a passage; nothing else may run meanwhile. */
export async function withoutKillPoints<T>(work: () => Promise<T>): Promise<T> {
  const suspended = order
  order = undefined
  try {
    return await work()
  } finally {
    order = suspended
  }
}

/** What a child of this process is to inherit. */
export function killPointEnvironment(): Readonly<Record<string, string>> {
  const value = process.env[VARIABLE]
  return value === undefined ? {} : { [VARIABLE]: value, [SERVER_VARIABLE]: String(process.pid) }
}

/** @throws Error for what is no order: a test that kills nothing would prove nothing */
function readOrder(text: string | undefined): Order | undefined {
  if (text === undefined || text === '') return undefined
  const [, name, passage = '1', server] = /^([a-z]+)(?::([1-9][0-9]*))?(\+server)?$/.exec(text) ?? []
  const point = KILL_POINTS.find((known) => known === name)
  if (point === undefined) throw new Error(`${VARIABLE}=${text}: expected one of ${KILL_POINTS.join(', ')}`)
  return { point, left: Number(passage), takesServer: server !== undefined }
}
