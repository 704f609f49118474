import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ConfigError } from '../../../src/config/config-error.ts'
import { readMlflowEnvironment } from '../../../src/config/mlflow-environment.ts'

const FILES: Readonly<Record<string, string>> = {
  '/home/u/.mlflow/credentials': [
    '# of MLflow',
    '[other]',
    'mlflow_tracking_username = nobody',
    '[mlflow]',
    'MLFLOW_TRACKING_USERNAME: filed',
    '; a comment',
    'mlflow_tracking_password = p=w:d  ',
  ].join('\n'),
  '/certs/ca.pem': 'CA',
  '/certs/client.pem': 'CLIENT',
}

function read(path: string): string | undefined {
  if (path.startsWith('/locked')) throw Object.assign(new Error('secret'), { code: 'EACCES' })
  return FILES[path]
}

function environment(env: Readonly<Record<string, string>>) {
  return readMlflowEnvironment(undefined, env, read)
}

function problemsOf(env: Readonly<Record<string, string>>): readonly string[] {
  try {
    environment(env)
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error))
    return error.problems
  }
  return assert.fail('there was no problem')
}

describe("MLflow's own environment", () => {
  it('may say nothing at all', () => {
    assert.deepEqual(environment({}), {
      uri: undefined,
      credentials: undefined,
      tls: { isInsecure: false },
      workspace: undefined,
      s3Endpoint: undefined,
    })
  })

  it('names the server: the registry, else the tracking server, over HTTP', () => {
    const tracking = 'http://tracking:5000/'
    assert.equal(environment({ MLFLOW_TRACKING_URI: tracking }).uri, 'http://tracking:5000')
    const both = { MLFLOW_TRACKING_URI: tracking, MLFLOW_REGISTRY_URI: 'https://registry/base' }
    assert.equal(environment(both).uri, 'https://registry/base')
    for (const uri of ['sqlite:///m.db', './mlruns', 'databricks', 'http://'])
      assert.equal(environment({ MLFLOW_TRACKING_URI: uri }).uri, undefined, uri)
  })

  it('gives user and password, which win over a token', () => {
    const token = { MLFLOW_TRACKING_TOKEN: 't' }
    assert.deepEqual(environment(token).credentials, { kind: 'bearer', token: 't' })
    const both = { ...token, MLFLOW_TRACKING_USERNAME: 'u', MLFLOW_TRACKING_PASSWORD: 'p' }
    assert.deepEqual(environment(both).credentials, { kind: 'basic', user: 'u', password: 'p' })
    const half = { ...token, MLFLOW_TRACKING_USERNAME: 'u' }
    assert.deepEqual(environment(half).credentials, { kind: 'bearer', token: 't' })
  })

  it('takes what it lacks of user and password from the file of credentials', () => {
    const home = { HOME: '/home/u' }
    assert.deepEqual(environment(home).credentials, { kind: 'basic', user: 'filed', password: 'p=w:d' })
    const credentials = environment({ ...home, MLFLOW_TRACKING_USERNAME: 'u' }).credentials
    assert.deepEqual(credentials, { kind: 'basic', user: 'u', password: 'p=w:d' })
    assert.equal(environment({ HOME: '/home/other' }).credentials, undefined)
  })

  it('takes credentials out of a URL, when there are no others', () => {
    const url = { MLFLOW_TRACKING_URI: 'https://a%40b:p%3Aw@host/base' }
    const { uri, credentials } = environment(url)
    assert.equal(uri, 'https://host/base')
    assert.deepEqual(credentials, { kind: 'basic', user: 'a@b', password: 'p:w' })
    assert.deepEqual(environment({ ...url, MLFLOW_TRACKING_TOKEN: 't' }).credentials, { kind: 'bearer', token: 't' })
  })

  it('keeps credentials in a URL from a server that is named elsewhere, not those beside', () => {
    const env = { MLFLOW_TRACKING_URI: 'https://a:b@host' }
    const named = readMlflowEnvironment('https://other', env, read)
    assert.deepEqual([named.uri, named.credentials], ['https://other', undefined])
    const beside = readMlflowEnvironment('https://other', { ...env, MLFLOW_TRACKING_TOKEN: 't' }, read)
    assert.deepEqual(beside.credentials, { kind: 'bearer', token: 't' })
  })

  it('gives TLS, workspace and the S3 server', () => {
    const { tls, workspace, s3Endpoint } = environment({
      MLFLOW_TRACKING_SERVER_CERT_PATH: '/certs/ca.pem',
      MLFLOW_TRACKING_CLIENT_CERT_PATH: '/certs/client.pem',
      MLFLOW_WORKSPACE: ' team-a ',
      MLFLOW_S3_ENDPOINT_URL: 'http://minio:9000',
    })
    assert.deepEqual(tls, { isInsecure: false, authorities: 'CA', clientCertificate: 'CLIENT' })
    assert.deepEqual([workspace, s3Endpoint], ['team-a', 'http://minio:9000'])
    assert.equal(environment({ MLFLOW_TRACKING_INSECURE_TLS: 'True' }).tls.isInsecure, true)
    assert.equal(environment({ MLFLOW_TRACKING_INSECURE_TLS: '0' }).tls.isInsecure, false)
  })

  it('reports every problem at once, and no secret with it', () => {
    const problems = problemsOf({
      MLFLOW_TRACKING_INSECURE_TLS: 'perhaps',
      MLFLOW_TRACKING_SERVER_CERT_PATH: '/certs/gone.pem',
      MLFLOW_TRACKING_CLIENT_CERT_PATH: '/locked/client.pem',
      MLFLOW_TRACKING_TOKEN: 'secret\n',
      MLFLOW_WORKSPACE: 'secret\nX-Evil: 1',
      HOME: '/locked',
    })
    assert.deepEqual(
      problems.map((problem) => problem.replace(/:.*/, '')),
      [
        'environment MLFLOW_WORKSPACE',
        'environment MLFLOW_TRACKING_INSECURE_TLS',
        'environment MLFLOW_TRACKING_SERVER_CERT_PATH',
        'environment MLFLOW_TRACKING_CLIENT_CERT_PATH',
        '~/.mlflow/credentials',
        'environment MLFLOW_TRACKING_TOKEN',
      ],
    )
    assert.doesNotMatch(problems.join(), /secret/)
  })

  it('refuses to trust everybody and one authority at once', () => {
    const both = { MLFLOW_TRACKING_INSECURE_TLS: 'true', MLFLOW_TRACKING_SERVER_CERT_PATH: '/certs/ca.pem' }
    assert.match(problemsOf(both)[0] ?? '', /expected one of them/)
  })
})
