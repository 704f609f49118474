/**
 * ONNX's own backend node tests, as the `onnx` Python package carries them: every case that ONNX Runtime opens and runs with tensors
 * the protocol can carry must get the same answer from the artifact as from the original. Blobs start at one byte, so that every tensor
 * that can move does. `test/servers/install-python.sh` makes the environment; in CI its absence is a failure.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { ArtifactStore } from '../../src/artifact/artifact-store.ts'
import { differenceOf } from '../../src/artifact/compare.ts'
import { GatewayError } from '../../src/domain/errors.ts'
import type { Tensor } from '../../src/domain/tensor-types.ts'
import { EngineSession } from '../../src/engine/session.ts'
import { mappedOptions, plainOptions } from '../../src/engine/session-options.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { readCaseInputs } from '../support/artifact/case-inputs.ts'
import { artifactSource } from '../support/artifact/source.ts'

const PYTHON = process.env.TEST_PYTHON ?? '.venv-test/bin/python'
const WRITER = join(import.meta.dirname, 'onnx-backend-cases.py')
const MIN_RUNNABLE = 1000
/** Kernels are the same; what may differ is the order of sums in a fused or reordered one. */
const TOLERANCE = { relative: 1e-4, ofDeviation: 1e-5 }

const hasPython = existsSync(PYTHON)
const skip = hasPython || process.env.CI === 'true' ? false : `no ${PYTHON}: run test/servers/install-python.sh`

/** Adds up reasons and shows how often each came, with an example. */
class Tally {
  readonly #rows = new Map<string, { count: number; example: string }>()

  add(reason: string, example: string): void {
    const row = this.#rows.get(reason)
    if (row === undefined) this.#rows.set(reason, { count: 1, example })
    else row.count++
  }

  get total(): number {
    return [...this.#rows.values()].reduce((sum, row) => sum + row.count, 0)
  }

  toString(): string {
    const rows = [...this.#rows].toSorted(([, a], [, b]) => b.count - a.count)
    return rows.map(([reason, { count, example }]) => `\n  ${count} × ${reason} (${example})`).join('')
  }
}

interface Original {
  readonly inputs: readonly (readonly Tensor[])[]
  readonly answers: readonly (readonly Tensor[])[]
}

/** What the engine answers for the original; or why the case is none for this protocol. */
async function runOriginal(folder: string): Promise<Original | string> {
  const inputs = readCaseInputs(join(folder, 'inputs.json'))
  if (inputs === undefined) return 'an input is no tensor of the protocol'
  let session: EngineSession
  try {
    session = await EngineSession.open(join(folder, 'model.onnx'), plainOptions({ intraOpThreads: 1 }))
  } catch (error) {
    return error instanceof GatewayError && error.cause === undefined
      ? 'a value is no tensor of the protocol'
      : 'the engine cannot open it'
  }
  try {
    const answers: Tensor[][] = []
    for (const set of inputs) answers.push(await session.run(set))
    return { inputs, answers }
  } catch {
    return 'the engine cannot run it'
  } finally {
    await session.release()
  }
}

test('every runnable backend node test answers the same from the artifact as from the original', {
  skip,
}, async (t) => {
  assert.ok(hasPython, `no ${PYTHON}: run test/servers/install-python.sh`)
  const work = await mkdtemp(join(tmpdir(), 'modelmux-backend-'))
  after(() => rmSync(work, { recursive: true, force: true }))
  const cases = join(work, 'cases')
  execFileSync(PYTHON, [WRITER, cases], { stdio: ['ignore', 'pipe', 'inherit'] })
  const store = await ArtifactStore.open({
    dir: join(work, 'cache'),
    diskBytes: 2 ** 33,
    clock: systemClock,
    minBlobBytes: 1,
    scrubBytesPerSecond: 0,
  })
  const skipped = new Tally()
  const plain = new Tally()
  const wrong: string[] = []
  let mapped = 0
  let moved = 0
  try {
    const names = readdirSync(cases).toSorted()
    for (const [done, name] of names.entries()) {
      if (done % 400 === 0) t.diagnostic(`${done} of ${names.length} cases`)
      const folder = join(cases, name)
      const original = await runOriginal(folder)
      if (typeof original === 'string') {
        skipped.add(original, name)
        continue
      }
      try {
        const { manifest } = await store.compile(artifactSource(folder, name))
        const options =
          manifest.form === 'mapped'
            ? mappedOptions({ isPacked: false, intraOpThreads: 1 })
            : plainOptions({ intraOpThreads: 1 })
        const session = await EngineSession.open(store.fileOf(manifest), options)
        try {
          for (const [i, set] of original.inputs.entries()) {
            const difference = differenceOf(await session.run(set), original.answers[i] ?? [], TOLERANCE)
            if (difference !== undefined && !isRandom(folder)) wrong.push(`${name}: ${difference}`)
          }
        } finally {
          await session.release()
        }
        if (manifest.form === 'plain') plain.add((manifest.plainReason ?? '').slice(0, 120), name)
        else mapped++
        moved += manifest.blobs.length
      } catch (error) {
        wrong.push(`${name}: ${error instanceof Error ? error.message : String(error)}`)
      }
    }
    const runnable = mapped + plain.total + wrong.length
    t.diagnostic(
      `${names.length} cases: ${runnable} runnable, ${mapped} mapped, ${plain.total} plain, ${moved} tensors moved`,
    )
    t.diagnostic(`plain:${plain.toString()}`)
    t.diagnostic(`skipped ${skipped.total}:${skipped.toString()}`)
    assert.deepEqual(wrong, [])
    assert.ok(runnable > MIN_RUNNABLE, `${runnable} runnable cases`)
    assert.ok(mapped > 0.9 * runnable, `${mapped} of ${runnable} mapped`)
  } finally {
    await store.close()
  }
})

/** Random operators without a seed answer otherwise each time, from the original too. */
function isRandom(folder: string): boolean {
  return /Bernoulli|RandomNormal|RandomUniform|Multinomial/.test(readFileSync(join(folder, 'model.onnx'), 'latin1'))
}
