import assert from 'node:assert/strict'
import { open, rename } from 'node:fs/promises'
import { after, before, describe, it } from 'node:test'
import type { NamedTensor } from '../../loadtest/models/index.ts'
import { largestDeviation, modelBytes, modelClass, Rng } from '../../loadtest/models/index.ts'
import { SIDECARS, sidecar } from '../../loadtest/models/special/index.ts'
import { until } from '../support/eventually.ts'
import type { Answer } from '../support/http-client.ts'
import { assertOutputs, infer, outputsOf } from '../support/infer-client.ts'
import { ModelsFolder } from '../support/models-folder.ts'
import { ServerProcess } from '../support/server-process.ts'

const XS = modelClass('XS')
const rng = new Rng('serve folder')

let models: ModelsFolder
let server: ServerProcess

before(async () => {
  models = await ModelsFolder.make()
  server = await ServerProcess.start({
    models: models.dir,
    args: ['--workers', '2'],
    env: { MODELMUX_STORE_POLL_MS: '50', MODELMUX_STORE_SETTLE_MS: '400' },
  })
  await server.logs('registry.scanned')
})

after(async () => {
  await server.stop()
  await models.removeAll()
})

describe('a models folder that changes under a running server', () => {
  it('serves a model that appears', async () => {
    assert.equal((await ask('new/model')).json.code, 'MODEL_NOT_FOUND')
    await models.write('new/model', '1', customer(1))
    await answersAs('new/model', 1)
  })

  it('moves to a new version, and keeps the older one for those who name it', async () => {
    await models.write('moving/model', '9', customer(1))
    await answersAs('moving/model', 1)
    await models.write('moving/model', '10', customer(2))
    await answersAs('moving/model', 2)
    await answersAs('moving/model/versions/9', 1)
  })

  it('follows an alias that is made, moved and taken away', async () => {
    await models.write('aliased/model', '1', customer(1))
    await models.write('aliased/model', '2', customer(2))
    await answersAs('aliased/model', 2)
    assert.equal((await askRef('aliased/model@live')).json.code, 'ALIAS_NOT_FOUND')
    for (const version of [1, 2, 1]) {
      await models.aliases('aliased/model', { live: String(version) })
      await until(`the alias names ${version}`, async () => {
        const answer = await askRef('aliased/model@live')
        return answer.status === 200 && customersOf(answer, [1, 2])[0] === version
      })
    }
    await models.aliases('aliased/model', {})
    await refuses(() => askRef('aliased/model@live'), 'ALIAS_NOT_FOUND')
  })

  it('takes a changed file under the same version for what it is', async () => {
    await models.write('changed/model', '1', customer(1))
    await answersAs('changed/model', 1)
    await models.write('changed/model', '1', customer(2))
    await answersAs('changed/model', 2)
  })

  it('forgets a version and then the model when their folders go', async () => {
    await models.write('leaving/model', '1', customer(1))
    await models.write('leaving/model', '2', customer(2))
    await answersAs('leaving/model', 2)
    await models.remove('leaving/model', '2')
    await answersAs('leaving/model', 1)
    await refuses(() => ask('leaving/model/versions/2'), 'VERSION_NOT_FOUND')
    await models.remove('leaving/model')
    await refuses(() => ask('leaving/model'), 'MODEL_NOT_FOUND')
  })

  it('serves weights that lie beside the model, wherever tools put them', async () => {
    for (const [i, external] of SIDECARS.entries()) {
      const name = `sidecar/model-${i}`
      await models.write(name, '1', sidecar().model, external)
      const inputs = sidecar().inputs(rng, 2)
      await until(`${name} is served`, async () => (await infer(server.client, name, inputs)).status === 200)
      assertOutputs(await infer(server.client, name, inputs), sidecar().expected(inputs))
    }
  })

  it('recovers by itself when a bad version is replaced by a good one', async () => {
    await models.writeFile('mended/model', '1', 'model.onnx', 'not a model')
    await refuses(() => ask('mended/model'), 'ARTIFACT_INVALID')
    await models.write('mended/model', '1', customer(3))
    await answersAs('mended/model', 3)
  })

  it('keeps serving what it has while a bad version arrives', async () => {
    await models.write('hot/model', '1', customer(1))
    await answersAs('hot/model', 1)
    await models.writeFile('hot/model', '2', 'model.onnx', 'not a model')
    await refuses(() => ask('hot/model/versions/2'), 'ARTIFACT_INVALID')
    await answersAs('hot/model', 1)
  })

  it('tells a version that is still being written to come back later', async (context) => {
    const folder = await ModelsFolder.make()
    context.after(() => folder.removeAll())
    await folder.write('a/model', '1', customer(1))
    // An hour without changes: for the server, these files never settle.
    const patient = await ServerProcess.start({
      models: folder.dir,
      config: { store: { pollMs: 50, settleMs: 3_600_000 } },
    })
    context.after(() => patient.stop())
    await patient.logs('registry.scanned')
    const answer = await infer(patient.client, 'a/model', XS.sampleInputs(rng, 1))
    assert.deepEqual([answer.status, answer.json.code], [503, 'MODEL_LOADING'])
    assert.match(String(answer.json.error), /version 1 of 'a\/model' are still changing; .* 3600000 ms/)
    assert.ok(Number(answer.headers['retry-after']) >= 1)
  })
})

describe('a model replaced under load', () => {
  const CUSTOMERS = [1, 2, 3, 4, 5, 6]
  const LANES = 4

  it('answers every request from one state of its files, by rename', async () => {
    await models.write('replaced/model', '1', customer(1))
    await replacedUnderLoad('replaced/model', (one) => models.write('replaced/model', '1', customer(one)))
  })

  it('answers every request from one state of its files, written over in pieces', async () => {
    await models.write('overwritten/model', '1', customer(1))
    const path = models.path('overwritten/model', '1', 'model.onnx')
    await replacedUnderLoad('overwritten/model', async (one) => {
      const bytes = modelBytes(customer(one))
      const file = await open(path, 'r+')
      for (let at = 0; at < bytes.length; at += 8192) {
        await file.write(bytes, at, Math.min(8192, bytes.length - at), at)
        // The server's own traffic gives it time to look in between.
        await ask('overwritten/model')
      }
      await file.truncate(bytes.length)
      await file.close()
    })
  })

  it('answers every request from one state of its files, the weights replaced before the graph', async () => {
    const name = 'sidecar/replaced'
    const external = { file: 'weights.bin', minBytes: 1024 }
    await models.write(name, '1', customer(1), external)
    await replacedUnderLoad(name, async (one) => {
      await models.write('.aside', '1', customer(one), external)
      for (const file of ['weights.bin', 'model.onnx']) {
        await rename(models.path('.aside', '1', file), models.path(name, '1', file))
        await ask(name)
      }
    })
  })

  it('names with each answer the version that it is from, while versions come and go', async () => {
    const name = 'versions/model'
    const versions = new Map([['1', 1]])
    await models.write(name, '1', customer(1))
    await answersAs(name, 1)
    await underLoad(
      name,
      (answer) => {
        const named = versions.get(String(answer.headers['x-modelmux-version'])) ?? assert.fail()
        assert.equal(answer.json.model_version, answer.headers['x-modelmux-version'])
        assert.deepEqual(customersOf(answer, CUSTOMERS), [named])
      },
      async () => {
        for (const one of CUSTOMERS.slice(1)) {
          const version = String(one * 3)
          versions.set(version, one)
          await models.write(name, version, customer(one))
          await answersAs(name, one)
          if (one > 3) await models.remove(name, String((one - 2) * 3))
        }
      },
    )
  })

  /** Replaces the model by one customer's after the other; every answer must be wholly one of theirs, and the latest comes to be served. */
  async function replacedUnderLoad(name: string, replace: (one: number) => Promise<void>): Promise<void> {
    await answersAs(name, 1)
    await underLoad(
      name,
      (answer) => assert.equal(customersOf(answer, CUSTOMERS).length, 1),
      async () => {
        for (const one of [...CUSTOMERS.slice(1), 1]) {
          await replace(one)
          await answersAs(name, one)
        }
      },
    )
  }

  /** Traffic on all lanes while `work` is done: every answer is 200 and passes `check`. */
  async function underLoad(name: string, check: (answer: Answer) => void, work: () => Promise<void>): Promise<void> {
    const over = new AbortController()
    let answers = 0
    const lane = async (): Promise<void> => {
      while (!over.signal.aborted) {
        const answer = await ask(name)
        assert.equal(answer.status, 200, answer.text)
        check(answer)
        answers++
      }
    }
    const lanes = Array.from({ length: LANES }, lane)
    await Promise.race([work(), Promise.all(lanes)]).finally(() => over.abort())
    await Promise.all(lanes)
    assert.ok(answers > LANES)
  }
})

const INPUTS = XS.sampleInputs(rng, 3)

function customer(one: number) {
  return XS.build({ customer: one, family: 'full', seed: 1 })
}

const EXPECTED = new Map<number, readonly NamedTensor[]>()

function expectedOf(one: number): readonly NamedTensor[] {
  let expected = EXPECTED.get(one)
  if (expected === undefined) {
    expected = XS.expected({ customer: one, family: 'full', seed: 1 }, INPUTS)
    EXPECTED.set(one, expected)
  }
  return expected
}

/** Which of the customers' models gives all rows of this answer. */
function customersOf(answer: Answer, candidates: readonly number[]): number[] {
  const [scores] = outputsOf(answer)
  return candidates.filter((one) => {
    const [expected] = expectedOf(one)
    return largestDeviation(scores?.data as Float32Array, expected?.data as Float32Array) <= XS.tolerance
  })
}

function ask(path: string): Promise<Answer> {
  return infer(server.client, path, INPUTS)
}

function askRef(ref: string): Promise<Answer> {
  return infer(server.client, '', INPUTS, { path: '/v2/infer', headers: ['serve-multiplexed-model-id', ref] })
}

/** Resolves once the model at this path answers as that customer's. */
async function answersAs(path: string, one: number): Promise<void> {
  await until(`${path} answers as customer ${one}`, async () => {
    const answer = await ask(path)
    return answer.status === 200 && customersOf(answer, [one]).length === 1
  })
}

async function refuses(question: () => Promise<Answer>, code: string): Promise<void> {
  await until(`it is refused with ${code}`, async () => (await question()).json.code === code)
}
