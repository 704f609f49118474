/** Row 36: everything resident is pinned. */
import type { HttpProbe } from '../../bench/http-probe.ts'
import { outcomeOf } from '../answers.ts'
import { Expectations, type FaultRow } from '../fault.ts'
import { nameIn } from '../stage.ts'

const PINNED = 3
/** Class S takes some 5 MB each: three fit, a fourth does not. */
const MEMORY = '16MiB'
const COLD = nameIn('cold', 1)

export const fullOfPins: FaultRow = {
  number: 36,
  fault: 'everything resident is pinned',
  injected: 'pins that fill the memory budget, then a request for another model',
  expected: '507 CAPACITY_EXHAUSTED with the arithmetic; pins stay and answer; unloading a pinned model is refused',
  limitSeconds: 5,
  async run(stage) {
    const expect = new Expectations()
    const pinned = await stage.writeSteady(PINNED, 'S')
    await stage.writeGroup({ ...pinned, customers: 1, prefix: 'cold', seed: pinned.seed + 1 })
    const pins = Array.from({ length: PINNED }, (_, i) => nameIn('steady', i + 1))
    const running = await stage.serve({ awaits: COLD, config: { cache: { pins } }, args: ['--memory', MEMORY] })
    const { probe } = running
    const resident = async (): Promise<number> => (await probe.metrics()).sum('modelmux_models_resident')
    await stage.secondsUntil('the pins are resident', 60, async () => (await resident()) === PINNED)
    const loadsBefore = await loadsOf(probe)
    const { value, report } = await stage.besideSteady(running, pinned, async () => {
      const refused = await probe.tryInfer(COLD, stage.body('S'))
      expect.equal('another model', outcomeOf(refused), '507 CAPACITY_EXHAUSTED')
      const unload = await probe.ask('POST', `/v2/repository/models/${pins[0]}/unload`, {})
      expect.that(unload.status >= 400, `unloading a pinned model: ${outcomeOf(unload)}, expected a refusal`)
      return { seconds: refused.ms / 1000, refused: outcomeOf(refused), unload: outcomeOf(unload) }
    })
    expect.equal('resident at the end', await resident(), PINNED)
    expect.equal('pinned models loaded again', (await loadsOf(probe)) - loadsBefore, 0)
    expect.equal('errors of pinned models', JSON.stringify(report.errors), '{}')
    const { seconds, refused, unload } = value
    return {
      seconds,
      measured: `until the refusal; cold ${refused}, unload of a pin ${unload}`,
      problems: expect.problems,
    }
  },
}

async function loadsOf(probe: HttpProbe): Promise<number> {
  const metrics = await probe.metrics()
  return (
    metrics.sum('modelmux_loads_total', { outcome: 'loaded' }) +
    metrics.sum('modelmux_loads_total', { outcome: 'compiled' })
  )
}
