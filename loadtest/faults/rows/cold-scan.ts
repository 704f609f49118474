/** Row 34: somebody asks for every model there is, once. */
import { generateLoad } from '../../generator/load-generator.ts'
import { expectUntouched } from '../answers.ts'
import { Expectations, type FaultRow } from '../fault.ts'
import { nameIn } from '../stage.ts'

const HOT_MODELS = 100
/** Each hot model is asked for every four seconds: by the order of last use alone a scan would push it out in between. */
const HOT_RPS = 25
const SCANNED = 10_000
const QUICK_SCANNED = 800
const SCAN_CONNECTIONS = 4
/** Room for some 160 models of some 220 KiB. */
const MEMORY = '36MiB'
const LEARN_MS = 14_000
const MIN_HIT_RATIO = 0.95
const MAX_TAIL_MS = 250
const LOADS = 'modelmux_loads_total'
const LOADED = { outcome: 'loaded' }

export const coldScan: FaultRow = {
  number: 34,
  fault: 'a scan of cold models',
  injected: `${SCANNED} models asked for once each by four connections, beside ${HOT_MODELS} that are in use, with room for some 160`,
  expected: `the working set stays: ${MIN_HIT_RATIO * 100} % of its requests find their model resident, none fails; p99 of the working set within the limit`,
  limitSeconds: MAX_TAIL_MS / 1000,
  async run(stage) {
    const expect = new Expectations()
    const hot = await stage.writeSteady(HOT_MODELS)
    const customers = stage.isQuick ? QUICK_SCANNED : SCANNED
    const scanned = { ...hot, customers, prefix: 'scanned', seed: hot.seed + 1 }
    stage.progress(`writing ${customers} models`)
    await stage.writeGroup(scanned)
    const running = await stage.serve({ awaits: nameIn('scanned', customers), args: ['--memory', MEMORY] })
    const { server, probe } = running
    await stage.touchAll(running, hot)
    const { report: calm } = await stage.besideSteady(running, hot, () => stage.pause(LEARN_MS), HOT_RPS)
    const before = await probe.metrics()
    stage.progress('scanning')
    const { value: scan, report } = await stage.besideSteady(
      running,
      hot,
      () =>
        generateLoad(
          {
            ...stage.loadPlan(server.target, scanned),
            popularity: { kind: 'once' },
            pace: { kind: 'closed', connections: SCAN_CONNECTIONS },
          },
          { signal: stage.signal },
        ),
      HOT_RPS,
    )
    const after = await probe.metrics()
    const evicted = after.sum('modelmux_evictions_total') - before.sum('modelmux_evictions_total')
    // What is scanned is compiled; only a hot model that was pushed out is loaded from its artifact.
    const reloads = after.sum(LOADS, LOADED) - before.sum(LOADS, LOADED)
    const hitRatio = 1 - reloads / report.answered
    expectUntouched(expect, report)
    expect.that(hitRatio >= MIN_HIT_RATIO, `${percent(hitRatio)} of the hot requests found their model resident`)
    expect.that(evicted > customers / 2, `only ${evicted} evictions: the scan was no scan`)
    const p99 = report.latency.p99 / 1000
    const measured = `p99 of the hot models during the scan (${calm.latency.p99.toFixed(1)} ms before it); ${percent(hitRatio)} hits, ${scan.answered} scanned in ${Math.round(scan.seconds)} s, ${evicted} evictions`
    return { seconds: p99, measured, problems: expect.problems }
  },
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`
}
