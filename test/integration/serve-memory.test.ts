import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { modelClass, Rng } from '../../loadtest/models/index.ts'
import { huge } from '../../loadtest/models/special/index.ts'
import { until } from '../support/eventually.ts'
import type { Answer } from '../support/http-client.ts'
import { assertOutputs, infer } from '../support/infer-client.ts'
import { ModelsFolder } from '../support/models-folder.ts'
import { ServerProcess } from '../support/server-process.ts'

const XS = modelClass('XS')
const rng = new Rng('serve memory')
/** The smallest budget that may be configured: room for some sixty of these models. */
const BUDGET_BYTES = 16 * 2 ** 20
const CUSTOMERS = 120
const PINNED = [3, 4] as const
const LANES = 6
/** 33 MB of weights: more than the whole budget. */
const TOO_LARGE = huge({ tables: 1, rows: 8192 })

let models: ModelsFolder
let server: ServerProcess

before(async () => {
  models = await ModelsFolder.make()
  for (let one = 1; one <= CUSTOMERS; one++) await models.write(nameOf(one), '1', XS.build(recipe(one)))
  await models.write('big/model', '1', TOO_LARGE.model)
  server = await ServerProcess.start({
    models: models.dir,
    args: ['--workers', '2', '--memory', '16MiB'],
    config: {
      store: { settleMs: 0 },
      cache: { minResidencyMs: 0, pins: PINNED.map(nameOf) },
      artifact: { probe: false },
      telemetry: { requestLogSample: 0 },
    },
  })
  await server.logs('registry.scanned')
})

after(async () => {
  await server.stop()
  await models.removeAll()
})

describe('more models than memory', () => {
  it('all answer right while they push each other out, within the budget', async () => {
    await Promise.all(PINNED.map((one) => server.logs('pin.held', ({ ref }) => String(ref).includes(nameOf(one)))))
    // Twice over all, then at random: every model is compiled, evicted, and opened from its artifact.
    const order = [
      ...shuffled(),
      ...shuffled(),
      ...Array.from({ length: 3 * CUSTOMERS }, () => 1 + rng.below(CUSTOMERS)),
    ]
    const outcomes = new Map<unknown, number>()
    let over = 0
    const lane = async (): Promise<void> => {
      for (let one = order.pop(); one !== undefined; one = order.pop()) {
        const { headers } = await askRight(one)
        const outcome = headers['x-modelmux-cache']
        outcomes.set(outcome, 1 + (outcomes.get(outcome) ?? 0))
        if (order.length % 20 === 0) over = Math.max(over, (await usedBytes()) - BUDGET_BYTES)
      }
    }
    await Promise.all(Array.from({ length: LANES }, lane))
    assert.ok(over <= 0, `the ledger was over its budget by ${over} bytes`)
    const metrics = await server.metrics()
    assert.equal(metrics.get('modelmux_ledger_budget_bytes'), BUDGET_BYTES)
    assert.ok((metrics.get('modelmux_evictions_total{reason="memory"}') ?? 0) > CUSTOMERS)
    assert.ok((metrics.get('modelmux_models_resident') ?? CUSTOMERS) < CUSTOMERS)
    assert.ok((outcomes.get('load') ?? 0) > 0, 'nothing came back from its artifact')
    assert.ok((outcomes.get('hit') ?? 0) > 0, 'nothing stayed')
    const compiles = [...metrics].find(([name]) => name.startsWith('modelmux_loads_total{outcome="compiled"'))
    assert.equal(compiles?.[1], CUSTOMERS)
  })

  it('leaves those that are pinned where they are', async () => {
    for (const one of PINNED) assert.equal((await askRight(one)).headers['x-modelmux-cache'], 'hit')
    const refused = await server.client.post(`/v2/repository/models/${nameOf(PINNED[0])}/unload`)
    assert.deepEqual([refused.status, refused.json.code], [507, 'CAPACITY_EXHAUSTED'])
    assert.match(String(refused.json.error), /pinned/)
  })

  it('refuses a model that can never fit, with the arithmetic, and harms nobody', async () => {
    const resident = (await server.metrics()).get('modelmux_models_resident')
    const inputs = TOO_LARGE.inputs(rng, 1)
    for (const again of [false, true]) {
      const answer = await infer(server.client, 'big/model', inputs)
      assert.deepEqual([answer.status, answer.json.code], [507, 'MODEL_TOO_LARGE'], answer.text)
      assert.match(String(answer.json.error), /big\/model.* needs 3[0-9.]+ MiB.*whole memory budget of 16 MiB/)
      assert.ok(Number(answer.json.needBytes) > Number(answer.json.budgetBytes))
      assert.equal(answer.json.budgetBytes, BUDGET_BYTES)
      assert.equal(answer.headers['retry-after'], undefined, String(again))
    }
    assert.equal((await server.metrics()).get('modelmux_models_resident'), resident)
    await askRight(1)
  })

  it('gives memory back when a model is unloaded', async () => {
    await askRight(1)
    const before = await usedBytes()
    assert.equal((await server.client.post(`/v2/repository/models/${nameOf(1)}/unload`)).status, 200)
    await until('its bytes are free', async () => (await usedBytes()) < before)
    assert.equal((await askRight(1)).headers['x-modelmux-cache'], 'load')
  })
})

function recipe(customer: number) {
  return { customer, family: 'full', seed: 1 } as const
}

function nameOf(customer: number): string {
  return `tenant-${customer % 7}/model-${customer}`
}

function shuffled(): number[] {
  const order = Array.from({ length: CUSTOMERS }, (_, i) => i + 1)
  for (let i = order.length - 1; i > 0; i--) {
    const other = rng.below(i + 1)
    const [a = 0, b = 0] = [order[i], order[other]]
    order[i] = b
    order[other] = a
  }
  return order
}

async function askRight(one: number): Promise<Answer> {
  const inputs = XS.sampleInputs(rng, 1)
  const answer = await infer(server.client, nameOf(one), inputs, { encoding: 'binary' })
  assertOutputs(answer, XS.expected(recipe(one), inputs), XS.tolerance)
  return answer
}

/** Everything that the ledger counts. */
async function usedBytes(): Promise<number> {
  let bytes = 0
  for (const [name, value] of await server.metrics()) if (name.startsWith('modelmux_ledger_bytes{')) bytes += value
  return bytes
}
