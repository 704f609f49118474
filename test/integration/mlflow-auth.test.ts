/** A real MLflow server that lets in only whom it knows, and keeps models in workspaces. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { Mlflow } from '../../src/clients/mlflow.ts'
import type { MlflowHttpOptions } from '../../src/clients/mlflow-http.ts'
import { readMlflowEnvironment } from '../../src/config/mlflow-environment.ts'
import type { HttpCredentials } from '../../src/domain/http-identity.ts'
import { fails, MlflowRig, PATIENT } from '../support/mlflow-rig.ts'
import { MlflowServer, noMlflowServer } from '../support/mlflow-server.ts'
import { runModelmux, ServerProcess } from '../support/server-process.ts'

const ADMIN = { user: 'ops', password: 'correct horse: 7 battery' }

describe('an MLflow server with users and workspaces', { skip: noMlflowServer }, () => {
  const rig = new MlflowRig()
  let server: MlflowServer
  let credentials: HttpCredentials | undefined

  before(async () => {
    server = await MlflowServer.start({ admin: ADMIN })
    credentials = readMlflowEnvironment(server.uri, server.env).credentials
    assert.ok(credentials?.kind === 'basic')
    const answer = await fetch(`${server.uri}/api/3.0/mlflow/workspaces`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        authorization: `Basic ${Buffer.from(`${credentials.user}:${credentials.password}`).toString('base64')}`,
      },
      body: JSON.stringify({ name: 'team-a' }),
    })
    assert.ok(answer.ok, await answer.text())
  })
  after(async () => {
    await rig.close()
    await server?.stop()
  })

  function connect(options: Partial<MlflowHttpOptions>): Mlflow {
    return rig.connect(server.uri, { ...options, limits: PATIENT }).mlflow
  }

  function client(workspace?: string): Mlflow {
    return connect({ credentials, workspace })
  }

  it('lets in the user of the environment, and nobody without a password or with another', async () => {
    assert.deepEqual((await client().searchModels({ limit: 1 })).models, [])
    const nobody = connect({})
    const impostor = connect({ credentials: { ...ADMIN, kind: 'basic', password: 'wrong' } })
    const bearer = connect({ credentials: { kind: 'bearer', token: 't' } })
    for (const stranger of [nobody, impostor, bearer])
      await fails(stranger.searchModels({ limit: 1 }), 'forbidden', /^MLflow answered 40[0-9]/)
  })

  it('shows the models of the workspace that is asked for, and of no other', async () => {
    const mine = client('team-a')
    await mine.createModel('in team-a')
    const names = async (mlflow: Mlflow): Promise<readonly string[]> =>
      (await mlflow.searchModels({ limit: 10 })).models.map(({ name }) => name)
    assert.deepEqual([await names(mine), await names(client())], [['in team-a'], []])
    await fails(client().model('in team-a'), 'not-found')
    await fails(client('nowhere').searchModels({ limit: 1 }), 'not-found')
  })

  it('never finds its password in what modelmux prints, logs or answers', async () => {
    const secrets = [
      ADMIN.password,
      encodeURIComponent(ADMIN.password),
      'wrong-secret',
      btoa(`${ADMIN.user}:wrong-secret`),
    ]
    const models = `mlflow+${server.uri}`
    const env = { ...server.env, MLFLOW_TRACKING_PASSWORD: 'wrong-secret' }
    const printed = await runModelmux(['serve', '--models', models, '--print-config'], { env })
    const modelmux = await ServerProcess.start({ models, env, args: ['--workers', '1'] })
    try {
      const lost = await modelmux.logs('registry.root_lost')
      assert.match(String(lost.reason), /MLflow answered 401/)
      const answer = await modelmux.client.get('/v2/models/anything')
      assert.notEqual(answer.status, 200)
      const said = [printed.stdout, printed.stderr, modelmux.stdout, modelmux.stderr, answer.text].join('\n')
      for (const secret of secrets) assert.ok(!said.includes(secret), said)
    } finally {
      await modelmux.stop()
    }
  })
})
