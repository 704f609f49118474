/** The bench's end of a latency proxy: starts it before a server on this machine, and asks it what passed. */
import { fileURLToPath } from 'node:url'
import { ServerProcess } from './server-process.ts'

/** A request of HTTP as it passed. */
export interface ProxiedCall {
  readonly method: string
  /** With its query. */
  readonly path: string
  /** `bytes=0-99` */
  readonly range?: string | undefined
}

/** Bytes of TCP's payload, heads and all. */
export interface ProxiedBytes {
  /** To the server. */
  readonly up: number
  readonly down: number
}

export interface ProxyReport {
  readonly port: number
  /** Since it started, in order. */
  readonly calls: readonly ProxiedCall[]
  readonly bytes: ProxiedBytes
}

export class LatencyProxy {
  readonly url: string
  readonly #process: ServerProcess

  private constructor(process: ServerProcess, port: number) {
    this.#process = process
    this.url = `http://127.0.0.1:${port}`
  }

  /** `delayMs`: each way. */
  static async start(targetPort: number, delayMs: number): Promise<LatencyProxy> {
    const main = fileURLToPath(new URL('latency-proxy-main.ts', import.meta.url))
    const process = await ServerProcess.start([main, String(targetPort), String(delayMs)])
    return new LatencyProxy(process, (await reportOf(process)).port)
  }

  async calls(): Promise<readonly ProxiedCall[]> {
    return (await reportOf(this.#process)).calls
  }

  /** Since it started. */
  async bytes(): Promise<ProxiedBytes> {
    return (await reportOf(this.#process)).bytes
  }

  async stop(): Promise<void> {
    await this.#process.stop()
  }
}

async function reportOf({ url }: ServerProcess): Promise<ProxyReport> {
  return (await (await fetch(url)).json()) as ProxyReport
}
