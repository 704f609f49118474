import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isMlflowText, isMlflowUri, mlflowServerOf, mlflowUriProblem } from '../../../src/domain/mlflow-uri.ts'

describe('the place of an MLflow registry', () => {
  it('is a URL behind mlflow+, or that of the environment', () => {
    for (const [text, server] of [
      ['mlflow+http://host:5000', 'http://host:5000'],
      ['mlflow+https://host/path/', 'https://host/path'],
      ['mlflow:', undefined],
    ] as const) {
      assert.ok(isMlflowUri(text))
      assert.equal(mlflowUriProblem(text), undefined)
      assert.equal(mlflowServerOf(text), server)
    }
    for (const text of ['./models', 's3://bucket', 'http://host:5000', 'mlflow/models']) assert.ok(!isMlflowText(text))
  })

  it('is none with another scheme, without a host, or with a password that would be printed', () => {
    for (const [text, problem] of [
      ['mlflow+ftp://host', /no http or https URL/],
      ['mlflow+http://', /no http or https URL/],
      ['mlflow:churn', /no http or https URL/],
      ['mlflow+http://user:secret@host', /carries a user or a password/],
      ['mlflow+http://host?x=1', /has a query/],
    ] as const) {
      assert.ok(isMlflowText(text))
      assert.match(mlflowUriProblem(text) ?? '', problem)
    }
  })
})
