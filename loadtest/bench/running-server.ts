/** A server for the length of one piece of work: started on folders of the bench's own, ready when it serves a model, stopped afterwards. */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { HttpProbe } from './http-probe.ts'
import { type ServerOptions, ServerProcess } from './server-process.ts'

export interface ServerSetup {
  /** Holds `models` and `cache`, and the configuration file while there is one. */
  readonly folder: string
  /** The server is ready when it would serve this model: the last that was written. */
  readonly awaits: string
  /** Further arguments of `serve`. */
  readonly args?: readonly string[]
  /** What differs from the default configuration. */
  readonly config?: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  /** An artifact folder from before is used again. Default: it starts empty. */
  readonly keepsCache?: boolean
  /** How the process is started, where that is part of what is looked at. */
  readonly launch?: Pick<ServerOptions, 'nodeArgs' | 'openFiles' | 'readsLog'>
  readonly signal: AbortSignal
}

export interface RunningServer {
  readonly server: ServerProcess
  readonly probe: HttpProbe
}

const SCAN_LIMIT_MS = 120_000

export const modelsFolder = (folder: string): string => join(folder, 'models')
export const cacheFolder = (folder: string): string => join(folder, 'cache')

export async function withServer<T>(setup: ServerSetup, use: (running: RunningServer) => Promise<T>): Promise<T> {
  const running = await startServer(setup)
  try {
    return await use(running)
  } finally {
    running.probe.close()
    await running.server.stop()
  }
}

/** The caller closes the probe and stops the server. */
export async function startServer(setup: ServerSetup): Promise<RunningServer> {
  const { folder, awaits, args = [], config, keepsCache = false, launch, signal } = setup
  if (!keepsCache) await rm(cacheFolder(folder), { recursive: true, force: true })
  const folders = ['--models', modelsFolder(folder), '--cache', cacheFolder(folder)]
  const configured = config === undefined ? [] : ['--config', await writeConfig(folder, config)]
  const server = await ServerProcess.serve({ ...launch, args: [...folders, ...configured, ...args] })
  const probe = new HttpProbe(server.target)
  try {
    await probe.awaitScan(SCAN_LIMIT_MS, signal)
    // Files count once they have not changed for a while, which the newest ones may still wait for.
    await probe.awaitReady(awaits, SCAN_LIMIT_MS, signal)
    return { server, probe }
  } catch (error) {
    probe.close()
    await server.stop()
    throw error
  }
}

/** JSON is YAML. */
async function writeConfig(folder: string, config: unknown): Promise<string> {
  const path = join(folder, 'modelmux.yaml')
  await mkdir(folder, { recursive: true })
  await writeFile(path, JSON.stringify(config, undefined, 2))
  return path
}
