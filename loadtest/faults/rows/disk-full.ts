/** Row 30: the disk of the cache folder is full. */
import { readdir, statfs } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { cacheFolder } from '../../bench/running-server.ts'
import { expectUntouched, outcomeOf, tailOf } from '../answers.ts'
import { Expectations, type FaultRow } from '../fault.ts'
import { mountTmpfs } from '../mounts.ts'
import { nameIn } from '../stage.ts'

const DISK_BYTES = 48 * 2 ** 20
const STEADY_MODELS = 20
/** 5 MB each: what cannot fit together. */
const COLD_MODELS = 16

export const diskFull: FaultRow = {
  number: 30,
  fault: 'the disk of the cache folder is full',
  injected: `a tmpfs of 48 MiB as cache folder, its rest filled with another program's file, then ${COLD_MODELS} cold models of 5 MB`,
  expected:
    'old artifacts go or 507; nothing half written; open models answered without an error; all well when there is room again',
  limitSeconds: 5,
  async run(stage) {
    const expect = new Expectations()
    const cache = cacheFolder(stage.folder)
    const disk = await mountTmpfs(stage, cache, DISK_BYTES)
    const steady = await stage.writeSteady(STEADY_MODELS)
    const cold = { ...steady, className: 'S' as const, customers: COLD_MODELS, prefix: 'cold' }
    await stage.writeGroup(cold)
    const running = await stage.serve({
      awaits: nameIn('cold', COLD_MODELS),
      keepsCache: true,
      config: { cache: { minFreeDiskBytes: 0, failure: { baseMs: 100, maxMs: 200 } } },
    })
    await stage.touchAll(running, steady)
    const filler = join(cache, 'not-ours')
    await disk.fill(filler, DISK_BYTES / 2)
    const outcomes: string[] = []
    const { value, report } = await stage.besideSteady(running, steady, async () => {
      let slowest = 0
      for (let i = 1; i <= COLD_MODELS; i += 1) {
        const reply = await running.probe.tryInfer(nameIn('cold', i), stage.body('S'))
        slowest = Math.max(slowest, reply.ms / 1000)
        outcomes.push(outcomeOf(reply))
      }
      return slowest
    })
    const refusals = outcomes.filter((outcome) => outcome !== '200')
    expect.that(
      refusals.every((outcome) => outcome.startsWith('507 ') || outcome.startsWith('503 ')),
      `cold models: ${outcomes.join(', ')}`,
    )
    expectUntouched(expect, report)
    const halves = await halfWritten(cache)
    expect.that(halves.length === 0, `half written: ${halves.join(', ')}`)
    await disk.free(filler)
    const last = nameIn('cold', COLD_MODELS)
    const seconds = await stage.secondsUntil('a cold model once there is room', 60, async () => {
      return (await running.probe.tryInfer(last, stage.body('S'))).status === 200
    })
    const { bavail, bsize } = await statfs(cache)
    const left = `${Math.round((bavail * bsize) / 2 ** 20)} MiB left at the end`
    const refused = `${refusals.length} of ${COLD_MODELS} cold loads refused (${[...new Set(refusals)].join(', ')})`
    const measured = `the slowest answer; ${refused}, well again ${seconds.toFixed(2)} s after room was made, ${left}, ${tailOf(report)}`
    return { seconds: Math.max(value, seconds), measured, problems: expect.problems }
  },
}

/** Blobs are named for their digest and appear by rename: anything else below `blobs/` is a piece of one. */
async function halfWritten(cache: string): Promise<string[]> {
  const files = await readdir(join(cache, 'blobs'), { recursive: true, withFileTypes: true })
  return files.filter((entry) => entry.isFile() && !/^[0-9a-f]{64}$/.test(basename(entry.name))).map(({ name }) => name)
}
