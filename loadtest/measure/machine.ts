/** The machine that figures hold for. No host name, no user, no path. */
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { cpus, release, type as systemName, totalmem } from 'node:os'

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryBytes: number
  readonly system: string
  readonly node: string
  readonly onnxruntime: string
}

export async function describeMachine(): Promise<Machine> {
  const processors = cpus()
  return {
    cpu: processors[0]?.model ?? 'unknown',
    cores: processors.length,
    memoryBytes: totalmem(),
    system: `${systemName()} ${release()}`,
    node: process.version,
    onnxruntime: await packageVersion('onnxruntime-node'),
  }
}

async function packageVersion(name: string): Promise<string> {
  const manifest = createRequire(import.meta.url).resolve(`${name}/package.json`)
  const { version } = JSON.parse(await readFile(manifest, 'utf8')) as { readonly version: string }
  return version
}
