/** Row 31: the cache folder is read-only, or somebody wrote over what is in it. */
import { chmod, open, readdir, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { HttpProbe } from '../../bench/http-probe.ts'
import { cacheFolder } from '../../bench/running-server.ts'
import { countOutcomes, outcomeOf } from '../answers.ts'
import { Expectations, type FaultRow } from '../fault.ts'
import { mountTmpfs } from '../mounts.ts'
import { type FaultStage, nameIn } from '../stage.ts'

const DISK_BYTES = 128 * 2 ** 20
const MODELS = 6
const SETUP = { keepsCache: true, config: { cache: { minFreeDiskBytes: 0 } } } as const

export const damagedCache: FaultRow = {
  number: 31,
  fault: 'the cache folder is damaged, or read-only',
  injected:
    'between two starts: a manifest scribbled, a graph cut in half, a blob cut, a blob scribbled; then the whole folder read-only',
  expected:
    'starts anyway; every model answers right, the damaged ones compiled again without a strike; read-only: refuses to start with a reason or serves what is compiled',
  limitSeconds: 20,
  async run(stage) {
    const expect = new Expectations()
    const cache = cacheFolder(stage.folder)
    const disk = await mountTmpfs(stage, cache, DISK_BYTES)
    const group = await stage.writeSteady(MODELS, 'S')
    const first = await stage.serve(SETUP)
    await stage.touchAll(first, group)
    await stage.stop(first)

    stage.progress('damaged')
    await damage(cache)
    const second = await stage.serve(SETUP)
    const seconds = await stage.seconds(async () => {
      const { report } = await stage.besideSteady(second, group, () => answersOfAll(stage, second.probe, expect))
      expect.equal('wrong answers', report.wrong, 0)
      const others = Object.keys(report.errors).filter((kind) => kind !== 'status 503')
      expect.equal('errors other than 503 of the damaged', others.join(', '), '')
    })
    const compiled = (await second.probe.metrics()).sum('modelmux_compiles_total')
    expect.that(compiled >= 1, 'nothing was compiled again')
    await stage.stop(second)

    stage.progress('read-only')
    await disk.setReadOnly(true)
    const readOnly = await stage.serve(SETUP).then(
      async (running) => {
        await answersOfAll(stage, running.probe, expect)
        await stage.stop(running)
        return 'it serves what is compiled'
      },
      (error: unknown) => {
        const reason = error instanceof Error ? error.message : String(error)
        expect.that(
          /read-only|not writable|EROFS/i.test(reason),
          `the refusal names no reason: ${reason.slice(0, 300)}`,
        )
        return 'it refuses to start and says why'
      },
    )
    await disk.setReadOnly(false)
    const measured = `until all ${MODELS} answered; ${compiled} compiled again; read-only: ${readOnly}`
    return { seconds, measured, problems: expect.problems }
  },
}

/** Damaged ones are `MODEL_LOADING` at most for a moment. */
async function answersOfAll(stage: FaultStage, probe: HttpProbe, expect: Expectations): Promise<void> {
  for (let i = 1; i <= MODELS; i += 1) {
    const outcomes: string[] = []
    await stage.secondsUntil(`an answer of ${nameIn('steady', i)} (${countOutcomes(outcomes)})`, 30, async () => {
      const outcome = outcomeOf(await probe.tryInfer(nameIn('steady', i), stage.body('S')))
      outcomes.push(outcome)
      expect.that(outcome === '200' || outcome.startsWith('503 '), `${nameIn('steady', i)}: ${outcome}`)
      return outcome === '200'
    })
  }
}

async function damage(cache: string): Promise<void> {
  const files = await readdir(cache, { recursive: true, withFileTypes: true })
  const paths = files.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  const manifests = paths.filter((path) => path.endsWith('.json')).toSorted()
  const graphs = paths.filter((path) => path.endsWith('.onnx')).toSorted()
  const blobs = paths.filter((path) => path.includes('/blobs/')).toSorted()
  const [manifest] = manifests
  const graph = graphs.at(-1)
  const [scribbled] = blobs
  const cut = blobs.at(-1)
  if (manifest === undefined || graph === undefined || scribbled === undefined || cut === undefined) {
    throw new Error(
      `the cache folder has ${manifests.length} manifests, ${graphs.length} graphs, ${blobs.length} blobs`,
    )
  }
  await writeFile(manifest, '{"artifact": nonsense')
  for (const path of [graph, scribbled, cut]) await chmod(path, 0o644)
  await truncate(graph, 100)
  await truncate(cut, 1000)
  const file = await open(scribbled, 'r+')
  try {
    await file.write(Buffer.alloc(4096, 0xff), 0, 4096, 0)
  } finally {
    await file.close()
  }
}
