import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { ArtifactRules } from '../../../src/domain/artifact-place.ts'
import {
  artifactPlaceOf,
  artifactRuleProblem,
  isAllowedUrl,
  isNamedHost,
  PlaceRefusedError,
  proxyLocation,
  proxyPathOf,
} from '../../../src/domain/artifact-place.ts'

const RULES: ArtifactRules = {
  server: 'https://mlflow.example:5000/base',
  allowed: ['s3://models/team-a', 's3://open', 'file:///srv/mlruns', 'https://*.store.example', 'http://minio:9000'],
}

function reasonOf(uri: string): string {
  try {
    artifactPlaceOf(uri, RULES)
  } catch (error) {
    assert.ok(error instanceof PlaceRefusedError, String(error))
    return error.message
  }
  return assert.fail(`${uri} was allowed`)
}

describe('where artifacts may lie', () => {
  it('allows the artifact proxy of the server itself, in all its spellings', () => {
    const place = { kind: 'proxy', path: '1/run/artifacts/my model' }
    for (const uri of [
      'mlflow-artifacts:/1/run/artifacts/my model',
      'mlflow-artifacts:///1/run/artifacts/my model/',
      'mlflow-artifacts://mlflow.example:5000/1/run/artifacts/my model',
      'MLFLOW-ARTIFACTS:/1/run/artifacts/my model',
      'https://mlflow.example:5000/base/api/2.0/mlflow-artifacts/artifacts/1/run/artifacts/my model',
    ])
      assert.deepEqual(artifactPlaceOf(uri, RULES), place, uri)
  })

  it('refuses the proxy of another server, and other addresses of this one', () => {
    assert.match(reasonOf('mlflow-artifacts://169.254.169.254/1/a'), /another MLflow server/)
    assert.match(reasonOf('mlflow-artifacts://mlflow.example/1/a'), /another MLflow server/)
    for (const uri of [
      'http://mlflow.example:5000/base/api/2.0/mlflow-artifacts/artifacts/1',
      'https://mlflow.example:5000/base/other/1',
      'https://mlflow.example:5000.evil.example/base/api/2.0/mlflow-artifacts/artifacts/1',
      'https://minio:9000/models',
    ])
      assert.match(reasonOf(uri), /not below the MLflow server/, uri)
  })

  it('allows the buckets and prefixes that are listed, whole segments only', () => {
    const place = { kind: 's3', bucket: 'models', prefix: 'team-a/7/' }
    assert.deepEqual(artifactPlaceOf('s3://models/team-a/7', RULES), place)
    assert.deepEqual(artifactPlaceOf('s3://open', RULES), { kind: 's3', bucket: 'open', prefix: '' })
    for (const uri of ['s3://models/team-ab/7', 's3://models/team-b', 's3://models', 's3://other/team-a/7'])
      assert.match(reasonOf(uri), /not allowed/, uri)
  })

  it('allows folders of this machine only where one above is listed', () => {
    assert.deepEqual(artifactPlaceOf('file:///srv/mlruns/1/a', RULES), { kind: 'file', dir: '/srv/mlruns/1/a' })
    assert.deepEqual(artifactPlaceOf('file:/srv/mlruns', RULES), { kind: 'file', dir: '/srv/mlruns' })
    for (const uri of ['file:///srv/mlruns2/a', 'file:///etc', 'file:///srv'])
      assert.match(reasonOf(uri), /not allowed/, uri)
    assert.match(reasonOf('file://other/srv/mlruns'), /no folder of this machine/)
    assert.throws(
      () => artifactPlaceOf('file:///srv/mlruns/a', { server: RULES.server, allowed: [] }),
      /not allowed there/,
    )
  })

  it('refuses paths that climb, hide or are decoded by others', () => {
    for (const path of ['a/../b', '../a', 'a/./b', 'a//b', 'a%2e%2e/b', 'a\\b', 'a\0b', 'a?b', 'a#b', '', '/'])
      for (const uri of [`mlflow-artifacts:/${path}`, `file:///srv/mlruns/${path === '' ? '/x' : path}`])
        if (uri !== 'file:///srv/mlruns//') assert.ok(reasonOf(uri).length > 0, JSON.stringify(uri))
    for (const path of ['../team-a', 'team-a/../../x', 'team-a//x', 'team-a/%2e%2e/x', 'team-a/a\\b'])
      assert.ok(reasonOf(`s3://models/${path}`).length > 0, path)
    assert.match(reasonOf(`mlflow-artifacts:/${'a'.repeat(256)}`), /longer than 255/)
    assert.match(reasonOf(`mlflow-artifacts:/${'a/'.repeat(2000)}`), /longer than 2048/)
  })

  it('refuses every other scheme, and none', () => {
    for (const uri of [
      'dbfs:/a',
      'gs://bucket/a',
      'hdfs://host/a',
      'ftp://host/a',
      'data:a',
      'models:/m/1',
      'runs:/r/a',
    ])
      assert.match(reasonOf(uri), /not supported/, uri)
    for (const uri of ['/etc', 'etc', '', '//host/share', '../a']) assert.match(reasonOf(uri), /no scheme/, uri)
  })

  it('never repeats a URI in its reason', () => {
    for (const uri of [
      'https://user:secret@host/secret',
      'mlflow-artifacts://secret/secret',
      'file:///secret',
      's3:///secret',
    ])
      assert.doesNotMatch(reasonOf(uri), /secret/)
  })
})

describe('signed addresses', () => {
  it('may be asked on listed hosts with their scheme and port, and on the server itself', () => {
    const isAllowed = (url: string): boolean => isAllowedUrl(new URL(url), RULES)
    for (const url of [
      'https://a.store.example/k?X-Amz-Signature=1',
      'https://a.b.store.example/k',
      'http://minio:9000/k',
      'https://mlflow.example:5000/k',
    ])
      assert.equal(isAllowed(url), true, url)
    for (const url of [
      'http://a.store.example/k',
      'https://store.example/k',
      'https://evilstore.example/k',
      'https://a.store.example:444/k',
      'https://minio:9000/k',
      'http://minio/k',
      'http://169.254.169.254/latest/meta-data',
      'https://user:pw@a.store.example/k',
      'file:///etc/passwd',
      'ftp://minio:9000/k',
    ])
      assert.equal(isAllowed(url), false, url)
  })

  it('only name a host of private addresses where the very host is listed', () => {
    assert.equal(isNamedHost('minio', RULES), true)
    assert.equal(isNamedHost('mlflow.example', RULES), true)
    assert.equal(isNamedHost('a.store.example', RULES), false)
    assert.equal(isNamedHost('::1', { server: 'http://[::1]:5000', allowed: [] }), true)
  })
})

describe('a rule for artifacts', () => {
  it('names a bucket, a folder or a host', () => {
    for (const rule of RULES.allowed) assert.equal(artifactRuleProblem(rule), undefined, rule)
  })

  it('is refused when it says more, or less', () => {
    for (const rule of [
      'models',
      's3://',
      's3://models/../x',
      'file:///',
      'file://host/x',
      'https://*.com',
      'https://*',
      'https://a.*.example',
      'https://host/path',
      'https://user:pw@host',
      'https://host/?x=1',
      'gs://bucket',
    ])
      assert.notEqual(artifactRuleProblem(rule), undefined, rule)
  })
})

describe('the location of a proxied file', () => {
  it('leads back to its path, and other locations to none', () => {
    assert.equal(proxyPathOf(proxyLocation('1/a b/model.onnx')), '1/a b/model.onnx')
    assert.equal(proxyPathOf('s3://bucket/key'), undefined)
  })
})
