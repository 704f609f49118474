import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { replicaScene } from '../../support/replica-scene.ts'

const MiB = 2 ** 20
const PAUSE_MS = 300

/** Room for three models of 2 MiB: those asked for again and again, and the others just loaded and too young to be evicted. */
async function full(hotOnes: readonly string[], young: readonly string[], roomWaitMs: number) {
  const scene = replicaScene({
    memoryBytes: 7 * MiB,
    cache: { minResidencyMs: 1000 },
    scheduler: { roomWaitMs },
  })
  const hot = hotOnes.map((name) => scene.model(name))
  for (let i = 0; i < 6; i++) {
    for (const model of hot) await scene.answered(model)
    await scene.clock.advance(PAUSE_MS)
  }
  for (const name of young) await scene.answered(scene.model(name))
  await scene.clock.advance(400)
  const resident = (): string[] =>
    [...scene.table.entries()].map(({ key }) => key.slice(0, key.indexOf(':'))).toSorted()
  return { scene, resident }
}

describe('a load while all that could go for it is too young', () => {
  it('waits until one is old enough rather than push out a model that is asked for again and again', async () => {
    const { scene, resident } = await full(['acme/hot'], ['scan/1', 'scan/2'], 2000)
    const next = scene.ask(scene.model('scan/3'))
    await scene.settle()
    assert.equal(next.state, 'pending')
    await scene.clock.advance(600)
    await scene.settle()
    assert.equal(next.state, 'compile')
    assert.deepEqual(resident(), ['acme/hot', 'scan/2', 'scan/3'])
    await scene.end()
  })

  it('takes that room all the same when it may not wait so long', async () => {
    const { scene, resident } = await full(['acme/hot'], ['scan/1', 'scan/2'], 500)
    assert.equal((await scene.answered(scene.model('scan/3'))).state, 'compile')
    assert.deepEqual(resident(), ['scan/1', 'scan/2', 'scan/3'])
    await scene.end()
  })

  it('takes it too when the young alone are not enough, as they may never be old all at once', async () => {
    const { scene, resident } = await full(['acme/hot', 'acme/warm'], ['scan/1'], 2000)
    const large = scene.model('acme/large', { privateBytes: 3 * MiB })
    assert.equal((await scene.answered(large)).state, 'compile')
    assert.deepEqual(resident(), ['acme/large', 'scan/1'])
    await scene.end()
  })
})
