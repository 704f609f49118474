/** Peers of a bench: installed and started when asked for, and otherwise the reason why there is no figure. Absence is never a failure. */
import { execFile } from 'node:child_process'
import { availableParallelism, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { BenchContext } from '../bench/bench.ts'
import { RayServe } from './ray-serve.ts'

export type Peer =
  | {
      readonly kind: 'running'
      readonly server: RayServe
      /** Name and version of what it is made of. */
      readonly versions: string
      readonly replicas: number
      readonly modelsPerReplica: number
    }
  | { readonly kind: 'absent'; readonly reason: string }

export interface PeerOptions {
  /** Folder of models. */
  readonly models: string
  /** Models that it is asked for. */
  readonly wanted: number
  /** What one open model takes of a replica's memory. */
  readonly bytesPerModel: number
}

const CHECKOUT = fileURLToPath(new URL('../..', import.meta.url))
const INSTALL = fileURLToPath(new URL('./install.sh', import.meta.url))
const PYTHON = `${CHECKOUT}.venv-peers/bin/python`
const INSTALL_TIMEOUT_SECONDS = 600
/** The share of the memory that modelmux takes for open models unless told otherwise. */
const MEMORY_FRACTION = 0.7

/** Ray Serve with as many replicas as modelmux has workers by default. Rejects only when the bench was interrupted. */
export async function startRayServe(
  context: BenchContext,
  { models, wanted, bytesPerModel }: PeerOptions,
): Promise<Peer> {
  const { withPeers, signal } = context
  if (!withPeers) return { kind: 'absent', reason: 'run with --peers to install and measure it' }
  try {
    context.progress('installing Ray Serve, which takes minutes the first time')
    const versions = await install(signal)
    context.progress('starting Ray Serve')
    const replicas = availableParallelism()
    const modelsPerReplica = modelsThatFit(wanted, { memoryBytes: totalmem(), replicas, bytesPerModel })
    const server = await RayServe.start({ python: PYTHON, models, replicas, modelsPerReplica })
    return { kind: 'running', server, versions, replicas, modelsPerReplica }
  } catch (error) {
    signal.throwIfAborted()
    return { kind: 'absent', reason: reasonOf(error) }
  }
}

export async function stopPeer(peer: Peer | undefined): Promise<void> {
  if (peer?.kind === 'running') await peer.server.stop()
}

/** Models that each replica may hold: all of them, or what fits into its part of the memory that modelmux would take; at least one. */
export function modelsThatFit(
  wanted: number,
  memory: { readonly memoryBytes: number; readonly replicas: number; readonly bytesPerModel: number },
): number {
  const bytesPerReplica = (memory.memoryBytes * MEMORY_FRACTION) / memory.replicas
  return Math.max(1, Math.min(wanted, Math.floor(bytesPerReplica / memory.bytesPerModel)))
}

/** The last line that says anything: installers and servers end with what went wrong. No path of this machine. */
export function reasonOf(error: unknown): string {
  const { stderr = '' } = error as { readonly stderr?: string }
  const text = `${error instanceof Error ? error.message : String(error)}\n${stderr}`
  const lines = text.split('\n').filter((line) => line.trim() !== '')
  return (lines.at(-1) ?? 'it ended without a word').trim().replaceAll(/(?:\/[^\s/'":]+){2,}/g, '…')
}

/** Versions of what is installed, from the script's last line. */
async function install(signal: AbortSignal): Promise<string> {
  // `timeout` leads a group and ends all of it: pip would go on without the script.
  const { stdout } = await promisify(execFile)('timeout', [String(INSTALL_TIMEOUT_SECONDS), 'bash', INSTALL], {
    signal,
  })
  return stdout.trimEnd().split('\n').at(-1) ?? ''
}
