/** `deploy/` as Docker would read it. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { parse } from 'yaml'

export type Texts = Readonly<Record<string, string>>

export interface Service {
  readonly build: { readonly context: string; readonly dockerfile: string }
  readonly command: readonly string[]
  readonly environment: Texts
  readonly ports: readonly string[]
  readonly volumes: readonly string[]
  readonly depends_on?: Readonly<Record<string, unknown>>
  readonly read_only: boolean
  readonly stop_grace_period?: string
}

export interface Composition {
  readonly services: Readonly<Record<'s3' | 'mlflow' | 'modelmux', Service>>
  readonly volumes: Readonly<Record<string, unknown>>
}

/** What a user fills in. */
export const FILLED_IN: Texts = { S3_ACCESS_KEY: 'somebody', S3_SECRET_KEY: 'of-the-test' }

/** A file of the checkout. */
export function read(path: string): string {
  return readFileSync(path, 'utf8')
}

export function readComposition(): Composition {
  return parse(filledIn(read('deploy/compose.yaml'), FILLED_IN), { merge: true }) as Composition
}

/** What the image sets for those who do not. */
export function imageEnv(): Texts {
  const [, text = ''] = /^ENV (.+)$/m.exec(read('deploy/Dockerfile')) ?? []
  const pairs = text.split(' ').map((pair) => pair.split('='))
  return Object.fromEntries(pairs.map(([name = '', value = '']) => [name, value]))
}

/** `${NAME}`, `${NAME:-default}` and `${NAME:?reason}`, as Compose fills them in. */
function filledIn(text: string, values: Texts): string {
  return text.replaceAll(/\$\{(\w+)(?::([-?])([^}]*))?\}/g, (_, name: string, kind: string, rest: string) => {
    const value = values[name]
    assert.ok(value !== undefined || kind === '-', `${name} has no value`)
    return value ?? rest
  })
}
