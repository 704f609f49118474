/** What the real servers of the tests have in common: child processes on free ports that do not outlive the tests. */
import type { ChildProcess, SpawnOptions } from 'node:child_process'
import { spawn } from 'node:child_process'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { eventually } from './eventually.ts'

/** Starts a server that goes when this process does. */
export function startServer(command: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  const child = spawn(command, args, options)
  const killAtExit = (): boolean => child.kill('SIGKILL')
  process.once('exit', killAtExit)
  child.once('close', () => process.off('exit', killAtExit))
  return child
}

/** Waits until a server answers HTTP at `url`, with whatever; false when it ended before. */
export async function answers(child: ChildProcess, url: string, boundMs?: number): Promise<boolean> {
  const failed = new Promise<false>((resolve) => {
    child.once('close', () => resolve(false))
    child.once('error', () => resolve(false))
  })
  const listens = eventually(
    `there is an answer at ${url}`,
    async () => {
      if (!isRunning(child)) return true
      return (await fetch(url).catch(() => undefined)) === undefined ? undefined : true
    },
    boundMs,
  )
  return Promise.race([failed, listens.then(() => isRunning(child))])
}

export function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null
}

/** Resolves when it is gone. */
export async function endServer(child: ChildProcess): Promise<void> {
  if (!isRunning(child)) return
  const closed = new Promise<void>((resolve) => {
    child.once('close', () => resolve())
  })
  child.kill('SIGKILL')
  await closed
}

/** Another process may take it first. */
export async function freePort(): Promise<number> {
  const probe = createServer()
  await new Promise<void>((resolve) => {
    probe.listen(0, '127.0.0.1', resolve)
  })
  const { port } = probe.address() as AddressInfo
  await new Promise((resolve) => {
    probe.close(resolve)
  })
  return port
}
