/** What of this machine's CPU an optimised graph depends on: layouts and fusions are chosen by instruction set. */
import { hash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { arch } from 'node:os'

/** Instruction sets that ONNX Runtime picks kernels by. */
const RELEVANT = /^(?:avx\w*|amx\w*|fma|f16c|sse4_[12]|ssse3|asimd\w*|sve\w*|i8mm|bf16|fphp|neon|vnni|atomics)$/

/** A short digest, equal on machines whose artifacts are interchangeable. */
export async function cpuIdentity(): Promise<string> {
  const text = await readFile('/proc/cpuinfo', 'latin1').catch(() => '')
  return hash('sha256', `${arch()} ${describeCpu(text)}`, 'hex').slice(0, 16)
}

export function describeCpu(cpuinfo: string): string {
  const field = (name: RegExp) => name.exec(cpuinfo)?.[1]?.trim() ?? ''
  const flags = field(/^(?:flags|Features)\s*:(.*)$/m)
    .split(/\s+/)
    .filter((flag) => RELEVANT.test(flag))
    .toSorted()
  return [
    field(/^(?:vendor_id|CPU implementer)\s*:(.*)$/m),
    field(/^(?:cpu family|CPU architecture)\s*:(.*)$/m),
    ...flags,
  ].join(' ')
}
