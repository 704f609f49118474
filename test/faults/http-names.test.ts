/** Names of models as clients write them, in every spelling that may mean a file elsewhere or another model. */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { Rng } from '../../loadtest/models/index.ts'
import { addOne } from '../../loadtest/models/special/index.ts'
import { assertOutputs, infer } from '../support/infer-client.ts'
import { ModelsFolder } from '../support/models-folder.ts'
import { ServerProcess } from '../support/server-process.ts'

const HEADER = 'serve-multiplexed-model-id'
const rng = new Rng('names')

/** Served: blanks, Unicode in normal form C, right to left, dots, and what shells and URLs give a meaning to. */
const GOOD = ['with blank/größe 模型', 'acme/نموذج', 'a.b..c/d..', "it's $HOME;`id`&|", '_leading', 'plus+and=equals']

/** Refused wherever they come from, each as the URL or the header has it, encoded once. */
const BAD: readonly (readonly [what: string, encoded: string])[] = [
  ['dots', '..'],
  ['dots, encoded', '%2e%2e'],
  ['dots, encoded twice', '%252e%252e'],
  ['dots below a name', 'acme%2F..%2F..%2Fsecret'],
  ['a dot', 'acme/./churn'],
  ['a backslash', 'acme%5C..%5Csecret'],
  ['an absolute path', '%2Fetc%2Fpasswd'],
  ['a drive', 'C:%5Csecret'],
  ['a NUL', 'acme/churn%00.onnx'],
  ['a line feed', 'acme%0Achurn'],
  ['overlong UTF-8 of a slash', 'acme%C0%AFchurn'],
  ['overlong UTF-8 of a dot', '%C0%AE%C0%AE'],
  ['half a surrogate pair', '%ED%A0%80'],
  ['a byte that is no UTF-8', 'gr%F6%DFe'],
  ['normal form D', encodeURIComponent('gro\u0308ße')],
  ['an override of direction', encodeURIComponent('acme\u202Echurn')],
  ['a blank of no width', encodeURIComponent('acme\u200Bchurn')],
  ['a byte order mark', encodeURIComponent('\uFEFFacme')],
  ['a blank at an end', 'acme%20/churn'],
  ['a blank of another kind at an end', `${encodeURIComponent('\u00A0')}acme`],
  ['an empty segment', 'acme%2F%2Fchurn'],
  ['a percent sign', 'acme%25churn'],
  ['a question mark', 'acme%3Fchurn'],
  ['a number sign', 'acme%23churn'],
  ['too many bytes', encodeURIComponent('模'.repeat(43))],
]

let models: ModelsFolder
let server: ServerProcess
let cache: string

before(async () => {
  models = await ModelsFolder.make()
  for (const name of GOOD) await models.write(name, '1', addOne().model)
  cache = await mkdtemp(join(tmpdir(), 'modelmux-cache-'))
  server = await ServerProcess.start({
    models: models.dir,
    cache,
    args: ['--workers', '1'],
    config: { store: { settleMs: 0 } },
  })
  await server.logs('registry.scanned')
})

after(async () => {
  await server.stop()
  await models.removeAll()
  await rm(cache, { recursive: true })
})

describe('a name with blanks, Unicode or signs', () => {
  for (const name of GOOD) {
    it(`is served by path and header, percent-encoded once: ${name}`, async () => {
      const inputs = addOne().inputs(rng, 1)
      const raw = name.split('/').map(encodeURIComponent)
      const paths = [`/v2/models/${raw.join('/')}/infer`, `/v2/models/${raw.join('%2F')}/infer`]
      for (const path of paths)
        assertOutputs(await infer(server.client, name, inputs, { path }), addOne().expected(inputs))
      const headers = [HEADER, raw.join('/')]
      assertOutputs(await infer(server.client, name, inputs, { path: '/v2/infer', headers }), addOne().expected(inputs))
      const twice = `/v2/models/${encodeURIComponent(raw.join('/'))}/infer`
      const answer = await infer(server.client, name, inputs, { path: twice })
      assert.ok(answer.status === 400 || twice === paths[1], answer.text)
    })
  }
})

describe('a name that is none', () => {
  for (const [what, encoded] of BAD) {
    it(`is refused in path and header: ${what}`, async () => {
      for (const [path, headers] of [
        [`/v2/models/${encoded}/infer`, []],
        ['/v2/infer', [HEADER, encoded]],
      ] as const) {
        const answer = await infer(server.client, '', addOne().inputs(rng, 1), { path, headers })
        assert.deepEqual([answer.status, answer.json.code], [400, 'BAD_MODEL_REF'], `${path}: ${answer.text}`)
      }
      const metadata = await server.client.get(`/v2/models/${encoded}`)
      assert.equal(metadata.status, 400, metadata.text)
      const load = await server.client.post(`/v2/repository/models/${encoded}/load`, '{}')
      assert.equal(load.status, 400, load.text)
    })
  }
})

describe('the cache folder', () => {
  it('has no file or folder that is named by a client or a model', async () => {
    for (const name of GOOD)
      await infer(server.client, '', addOne().inputs(rng, 1), {
        path: '/v2/infer',
        headers: [HEADER, encodeURIComponent(name)],
      })
    const entries = await readdir(cache, { recursive: true })
    const words = GOOD.flatMap((name) => name.split('/'))
    for (const entry of entries)
      for (const part of entry.split('/')) assert.ok(!words.includes(part) && /^[\w.-]+$/.test(part), entry)
    assert.ok(
      entries.some((entry) => /[0-9a-f]{32}/.test(entry)),
      entries.join('\n'),
    )
  })
})
