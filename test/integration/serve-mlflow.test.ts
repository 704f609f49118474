/** `modelmux serve --models mlflow+http://...` against a real MLflow server, and models that MLflow itself logged. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { MlflowCustomers } from '../support/mlflow-customers.ts'
import { MlflowServer, noMlflowServer } from '../support/mlflow-server.ts'
import { ServerProcess } from '../support/server-process.ts'

describe('serving models from MLflow', { skip: noMlflowServer }, () => {
  let mlflow: MlflowServer
  let customers: MlflowCustomers
  let cache: string

  before(async () => {
    mlflow = await MlflowServer.start()
    customers = await MlflowCustomers.at(mlflow)
    cache = await mkdtemp(join(tmpdir(), 'modelmux-mlflow-cache-'))
    await customers.log([
      { customer: 1, name: 'churn', aliases: ['champion'], example: customers.example() },
      { customer: 2, name: 'churn', aliases: ['challenger'] },
      { customer: 3, name: 'fraud model' },
    ])
  })
  after(async () => {
    await customers?.remove()
    await mlflow?.stop()
    await rm(cache, { recursive: true, force: true })
  })

  function serve(at = cache, config: object = {}): Promise<ServerProcess> {
    return ServerProcess.start({
      models: `mlflow+${mlflow.uri}`,
      cache: at,
      config: { store: { mlflow: { pollMs: 500, ...config } } },
      args: ['--workers', '1'],
    })
  }

  it('fetches a model with the files beside it through the proxy, and answers right by name, version and alias', async () => {
    const server = await serve()
    try {
      await server.logs('registry.scanned')
      // The first answer of all, without a retry.
      const first = await customers.askRight(server, 'churn', 1)
      assert.deepEqual([first.headers['x-modelmux-version'], first.headers['x-modelmux-cache']], ['1', 'compile'])
      await customers.askRight(server, 'churn@challenger', 2)
      await customers.askRight(server, 'churn:2', 2)
      await customers.askRight(server, encodeURI('fraud model'), 3)
      const fetched = await server.logs('source.fetched', ({ key }) => String(key).startsWith('churn:1'))
      assert.equal(fetched.integrity, 'weak')
      assert.ok(Number(fetched.files) >= 6, `${String(fetched.files)} files`)
    } finally {
      await server.stop()
    }
  })
})
