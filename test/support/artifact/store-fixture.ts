/** An artifact store on a cache folder of its own, with models written beside it; everything goes when the test ends. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { largestDeviation, Rng, writeModel } from '../../../loadtest/models/index.ts'
import type { OnnxModel } from '../../../loadtest/models/onnx-model.ts'
import type { WriteOptions } from '../../../loadtest/models/onnx-writer.ts'
import type { CheckedModel } from '../../../loadtest/models/special/index.ts'
import type { ArtifactSource, ArtifactStoreOptions } from '../../../src/artifact/artifact-store.ts'
import { ArtifactStore } from '../../../src/artifact/artifact-store.ts'
import type { Manifest } from '../../../src/domain/artifact.ts'
import { EngineSession } from '../../../src/engine/session.ts'
import { mappedOptions, plainOptions } from '../../../src/engine/session-options.ts'
import { systemClock } from '../../../src/lib/clock.ts'
import { artifactSource } from './source.ts'

export interface StoreEvent {
  readonly name: string
  readonly fields: Readonly<Record<string, string | number | boolean>>
}

export class StoreFixture {
  readonly root: string
  readonly cache: string
  readonly events: StoreEvent[] = []
  readonly #t: TestContext
  #models = 0

  constructor(t: TestContext) {
    this.#t = t
    this.root = mkdtempSync(join(tmpdir(), 'modelmux-artifact-'))
    this.cache = join(this.root, 'cache')
    t.after(() => rmSync(this.root, { recursive: true, force: true }))
  }

  async open(options: Partial<ArtifactStoreOptions> = {}): Promise<ArtifactStore> {
    const store = await ArtifactStore.open({
      dir: this.cache,
      diskBytes: 2 ** 40,
      clock: systemClock,
      scrubBytesPerSecond: 0,
      onEvent: (name, fields) => void this.events.push({ name, fields }),
      ...options,
    })
    this.#t.after(() => store.close())
    return store
  }

  /** Writes a model into a folder of its own. */
  async source(
    model: OnnxModel | Uint8Array,
    write: WriteOptions = {},
    extras: Partial<ArtifactSource> = {},
  ): Promise<ArtifactSource> {
    const id = `m${++this.#models}`
    const dir = join(this.root, id)
    await mkdir(dir, { recursive: true })
    if (model instanceof Uint8Array) await writeFile(join(dir, extras.modelFile ?? 'model.onnx'), model)
    else await writeModel(join(dir, 'model.onnx'), model, write)
    return artifactSource(dir, id, extras)
  }
}

/** Opens an artifact as a worker does. */
function openArtifact(store: Pick<ArtifactStore, 'fileOf'>, manifest: Manifest): Promise<EngineSession> {
  const options =
    manifest.form === 'mapped'
      ? mappedOptions({ isPacked: false, intraOpThreads: 1 })
      : plainOptions({ intraOpThreads: 1 })
  return EngineSession.open(store.fileOf(manifest), options)
}

/** The artifact answers what the model's own arithmetic says, for a few batches. */
export async function assertAnswers(
  store: Pick<ArtifactStore, 'fileOf'>,
  manifest: Manifest,
  { inputs, expected }: CheckedModel,
  batches: readonly number[] = [1, 3],
): Promise<void> {
  const session = await openArtifact(store, manifest)
  try {
    const rng = new Rng('answers')
    for (const batch of batches) {
      const given = inputs(rng, batch)
      const answers = await session.run(given)
      for (const [i, want] of expected(given).entries()) {
        const deviation = largestDeviation(answers[i]?.data as Float32Array, want.data as Float32Array)
        assert.ok(deviation < 1e-3, `output ${want.name} deviates by ${deviation}`)
      }
    }
  } finally {
    await session.release()
  }
}
