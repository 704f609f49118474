import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parse } from 'yaml'
import { z } from 'zod'
import { bytes, secretOrNull, text } from '../../../src/config/fields.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { renderConfig, showValue } from '../../../src/config/print.ts'
import { configSchema } from '../../../src/config/schema.ts'

const schema = z.strictObject({
  auth: z.strictObject({ token: secretOrNull('The token.'), user: text('me', 'The user.') }).describe('Who may.'),
  size: bytes(2 ** 21, 'A size.'),
})

describe('renderConfig', () => {
  it('writes what can be loaded again as the same configuration', () => {
    const env = {
      MODELMUX_CACHE_PINS: '["a:1", "b@c", "null"]',
      MODELMUX_SERVER_DEFAULT_MODEL: 'true',
      MODELMUX_CACHE_DISK_BYTES: '20000001',
    }
    const config = loadConfig({ env, folders: 'ignore' })
    assert.deepEqual(configSchema.parse(parse(renderConfig(config))), config)
  })

  it('hides secrets that are set and shows that others are not', () => {
    const rendered = renderConfig({ auth: { token: 'hunter2', user: 'me' }, size: 3 }, schema)
    assert.doesNotMatch(rendered, /hunter2/)
    assert.match(rendered, /^ {2}token: \(hidden\)$/m)
    assert.match(renderConfig({ auth: { token: null, user: 'me' }, size: 3 }, schema), /^ {2}token: null$/m)
  })

  it('writes sizes in the largest unit that keeps them whole', () => {
    const sizes = [2 ** 21, 1_500_000_000, 1025, 0].map(
      (size) => /^size: (.*)$/m.exec(renderConfig({ auth: {}, size }, schema))?.[1],
    )
    assert.deepEqual(sizes, ['2MiB', '1500MB', '1025', '0'])
  })

  it('writes each field with its meaning and its variable', () => {
    assert.match(
      renderConfig({ auth: { user: 'x' } }, schema),
      /^ {2}# The user\.\n {2}# MODELMUX_AUTH_USER: a text that is not empty\n {2}user: x$/m,
    )
  })
})

describe('showValue', () => {
  it('bounds what it shows and hides secrets', () => {
    assert.ok(showValue('x'.repeat(1000)).length < 110)
    assert.equal(showValue('hunter2', true), '(hidden)')
    assert.equal(showValue(undefined), 'undefined')
  })
})
