import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Manifest } from '../../../src/domain/artifact.ts'
import { GatewayError } from '../../../src/domain/errors.ts'
import { Prober } from '../../../src/replica/prober.ts'
import { manifest } from '../../support/manifest.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { modelVersion } from '../../support/model-version.ts'

function scene() {
  const probes: PromiseWithResolvers<Manifest>[] = []
  const asked: string[] = []
  const told: string[] = []
  const clock = new ManualClock({ now: 1000 })
  const prober = new Prober({
    probe: ({ artifact }) => {
      asked.push(artifact)
      const probe = Promise.withResolvers<Manifest>()
      probes.push(probe)
      return probe.promise
    },
    onProbed: ({ name }) => told.push(name),
    onFailed: ({ name }) => told.push(`failed ${name}`),
    maxWaiting: 3,
    clock,
  })
  const note = (name: string) => prober.note(modelVersion(name), manifest(`artifact-of-${name}`))
  const end = async (error?: Error) => {
    const probe = probes.shift()
    assert.ok(probe)
    if (error === undefined) probe.resolve(manifest('any'))
    else probe.reject(error)
    await new Promise((resolve) => setImmediate(resolve))
  }
  return { prober, asked, told, note, end, clock }
}

describe('the prober', () => {
  it('probes one artifact at a time, the one that answered most first', async () => {
    const { asked, note, end } = scene()
    for (const name of ['a', 'b', 'c', 'c']) note(name)
    assert.deepEqual(asked, ['artifact-of-a'])
    await end()
    assert.deepEqual(asked, ['artifact-of-a', 'artifact-of-c'])
    await end()
    assert.deepEqual(asked, ['artifact-of-a', 'artifact-of-c', 'artifact-of-b'])
  })

  it('does not ask again for what is being probed or has failed', async () => {
    const { asked, told, note, end } = scene()
    note('a')
    note('a')
    await end(new Error('no inputs'))
    note('a')
    assert.deepEqual(asked, ['artifact-of-a'])
    assert.deepEqual(told, ['failed a'])
  })

  it('asks again, after a while, where the reason passes', async () => {
    for (const code of ['MODEL_LOADING', 'OVERLOADED', 'DRAINING', 'CAPACITY_EXHAUSTED'] as const) {
      const { asked, note, end, clock } = scene()
      note('a')
      await end(new GatewayError(code, 'later'))
      clock.tick(59_999)
      note('a')
      assert.equal(asked.length, 1)
      clock.tick(1)
      note('a')
      assert.equal(asked.length, 2)
    }
    const { asked, note, end, clock } = scene()
    note('a')
    await end(new GatewayError('ARTIFACT_INVALID', 'no such operator'))
    clock.tick(86_400_000)
    note('a')
    assert.equal(asked.length, 1)
  })

  it('forgets what exceeds its bound, until it answers again', async () => {
    const { prober, asked, note, end } = scene()
    for (const name of ['a', 'b', 'c', 'd', 'e']) note(name)
    assert.equal(prober.waiting, 3)
    for (let i = 0; i < 4; i++) await end()
    note('e')
    assert.equal(asked.at(-1), 'artifact-of-e')
  })

  it('tells nobody after it was closed', async () => {
    const { prober, told, note, end } = scene()
    note('a')
    note('b')
    prober.close()
    await end()
    assert.deepEqual(told, [])
    assert.equal(prober.waiting, 0)
  })
})
