/**
 * A worker whose engine says what a GPU in trouble says: sessions that are asked for on a GPU are made on the CPU, and calls fail with
 * the words of its argument, JSON: `run`, words by the first value of the first input; `open`, words by a part of the file's path;
 * `missing`, a file whose existence means that there is no device.
 */
import { existsSync } from 'node:fs'
import type { SessionOptions } from '../../../src/engine/ort.ts'
import { InferenceSession } from '../../../src/engine/ort.ts'

interface Troubles {
  readonly run?: Readonly<Record<string, string>>
  readonly open?: Readonly<Record<string, string>>
  readonly missing?: string
}

const troubles = JSON.parse(process.argv[2] ?? '{}') as Troubles
const create = InferenceSession.create.bind(InferenceSession) as (
  model: string | Uint8Array,
  options: SessionOptions,
) => Promise<InferenceSession>

Object.assign(InferenceSession, {
  async create(model: string | Uint8Array, options: SessionOptions): Promise<InferenceSession> {
    if (troubles.missing !== undefined && existsSync(troubles.missing))
      throw new Error('no CUDA-capable device is detected')
    for (const [part, words] of Object.entries(troubles.open ?? {}))
      if (typeof model === 'string' && model.includes(part)) throw new Error(words)
    const session = await create(model, { ...options, executionProviders: ['cpu'], extra: {} })
    const run = session.run.bind(session)
    return Object.assign(session, {
      run(feeds: InferenceSession.FeedsType, ...rest: []) {
        const [first] = Object.values(feeds)
        const words = troubles.run?.[String(first?.data[0])]
        return words === undefined ? run(feeds, ...rest) : Promise.reject(new Error(words))
      },
    })
  },
})

await import('../../../src/worker/worker-main.ts')
