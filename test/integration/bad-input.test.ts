import { after, before, describe, it } from 'node:test'
import { gzipSync } from 'node:zlib'
import { Rng } from '../../loadtest/models/index.ts'
import { addOne, identity, sumAndDifference, tableLookup } from '../../loadtest/models/special/index.ts'
import type { Send } from '../support/http-client.ts'
import { assertOutputs, assertRefused, infer } from '../support/infer-client.ts'
import { ModelsFolder } from '../support/models-folder.ts'
import { ServerProcess } from '../support/server-process.ts'

const rng = new Rng('bad input')
const UNDERSCORES = 'serve_multiplexed_model_id'
const HYPHENS = 'serve-multiplexed-model-id'
const JSON_LENGTH = 'Inference-Header-Content-Length'
const MAX_BODY_BYTES = 2 * 2 ** 20
const MAX_JSON_BYTES = 2 ** 20

let models: ModelsFolder
let server: ServerProcess

before(async () => {
  models = await ModelsFolder.make()
  await models.write('acme/churn', '7', addOne().model)
  await models.aliases('acme/churn', { champion: '7', lost: '99' })
  await models.write('acme/pair', '1', sumAndDifference().model)
  await models.write('acme/wide', '1', identity('INT64').model)
  await models.write('acme/words', '1', identity('BYTES').model)
  await models.write('acme/table', '1', tableLookup(16).model)
  server = await ServerProcess.start({
    models: models.dir,
    args: ['--workers', '2'],
    config: {
      store: { settleMs: 0 },
      server: { maxBodyBytes: MAX_BODY_BYTES, maxJsonBytes: MAX_JSON_BYTES },
    },
  })
  await server.logs('registry.scanned')
})

after(async () => {
  await server.stop()
  await models.removeAll()
})

interface Case {
  readonly what: string
  readonly send: Send
  readonly status: number
  readonly code: string
  /** What the message has to tell. */
  readonly tells: RegExp
}

function refusal(what: string, send: Send, status: number, code: string, tells: RegExp): Case {
  return { what, send, status, code, tells }
}

function to(path: string, ...headers: string[]): Send {
  return { method: 'POST', path, headers, body: requestBody({}) }
}

/** A good request for `acme/churn`, but for the changes. */
function requestBody(changes: object): string {
  return JSON.stringify({ inputs: [{ name: 'x', shape: [1, 4], datatype: 'FP32', data: [1, 2, 3, 4], ...changes }] })
}

function churn(body: string | Buffer, ...headers: string[]): Send {
  return { method: 'POST', path: '/v2/models/acme/churn/infer', headers, body }
}

function binary(json: object, raw: Uint8Array): Send {
  const text = JSON.stringify(json)
  return churn(Buffer.concat([Buffer.from(text), raw]), JSON_LENGTH, String(text.length))
}

function tensorOf(bytes: number, changes: object = {}): object {
  const tensor = { name: 'x', shape: [1, 4], datatype: 'FP32', parameters: { binary_data_size: bytes } }
  return { inputs: [{ ...tensor, ...changes }] }
}

const NAMES: readonly Case[] = [
  refusal('no model id', to('/v2/infer'), 400, 'MODEL_REQUIRED', /no model is named.*serve-multiplexed-model-id/),
  refusal(
    'two model ids that differ',
    to('/v2/models/acme/churn/infer', HYPHENS, 'acme/pair'),
    400,
    'BAD_MODEL_REF',
    /disagree: 'acme\/churn' and 'acme\/pair'/,
  ),
  refusal(
    'a version in the path and another in the header',
    to('/v2/models/acme/churn/versions/7/infer', HYPHENS, 'acme/churn:8'),
    400,
    'BAD_MODEL_REF',
    /acme\/churn:7.*acme\/churn:8/,
  ),
  refusal(
    'a repeated header',
    to('/v2/infer', HYPHENS, 'acme/churn', HYPHENS, 'acme/churn'),
    400,
    'BAD_MODEL_REF',
    /more than once/,
  ),
  refusal(
    'both spellings of the header',
    to('/v2/infer', HYPHENS, 'acme/churn', UNDERSCORES, 'acme/churn'),
    400,
    'BAD_MODEL_REF',
    /two spellings/,
  ),
  refusal('dots in the path', to('/v2/models/acme/../churn/infer'), 400, 'BAD_MODEL_REF', /'\.\.' is not a segment/),
  refusal('encoded dots', to('/v2/models/acme/%2e%2e/infer'), 400, 'BAD_MODEL_REF', /'\.\.' is not a segment/),
  refusal('dots in the header', to('/v2/infer', HYPHENS, '../../etc'), 400, 'BAD_MODEL_REF', /'\.\.' is not a segment/),
  refusal('control bytes', to('/v2/models/acme%00churn/infer'), 400, 'BAD_MODEL_REF', /does not print/),
  refusal(
    'control bytes in the header',
    to('/v2/infer', HYPHENS, 'acme%1bchurn'),
    400,
    'BAD_MODEL_REF',
    /does not print/,
  ),
  refusal('an empty segment', to('/v2/models/acme//churn/infer'), 400, 'BAD_MODEL_REF', /empty segment/),
  refusal('an empty header', to('/v2/infer', HYPHENS, ''), 400, 'BAD_MODEL_REF', /empty/),
  refusal('a name of five segments', to('/v2/models/a/b/c/d/e/infer'), 400, 'BAD_MODEL_REF', /segments/),
  refusal(
    'an unknown model, with near names',
    to('/v2/models/acme/chrun/infer'),
    404,
    'MODEL_NOT_FOUND',
    /no model 'acme\/chrun'; near names are 'acme\/churn'/,
  ),
  refusal(
    'an unknown version',
    to('/v2/models/acme/churn/versions/8/infer'),
    404,
    'VERSION_NOT_FOUND',
    /'acme\/churn' has no version 8; its latest are 7/,
  ),
  refusal('a version that is no number', to('/v2/infer', HYPHENS, 'acme/churn:new'), 400, 'BAD_MODEL_REF', /new/),
  refusal(
    'an unknown alias',
    to('/v2/infer', HYPHENS, 'acme/churn@chmpion'),
    404,
    'ALIAS_NOT_FOUND',
    /no alias 'chmpion'; it has 'champion'/,
  ),
  refusal(
    'an alias to a missing version',
    to('/v2/infer', HYPHENS, 'acme/churn@lost'),
    404,
    'ALIAS_NOT_FOUND',
    /'lost' of 'acme\/churn' names version 99, which does not exist/,
  ),
]

const TENSORS: readonly Case[] = [
  refusal(
    'a missing tensor',
    {
      ...churn('{"inputs":[{"name":"a","shape":[1,2],"datatype":"FP32","data":[1,2]}]}'),
      path: '/v2/models/acme/pair/infer',
    },
    400,
    'TENSOR_MISMATCH',
    /'b'.*missing|missing.*'b'|lacks.*'b'/,
  ),
  refusal('no tensors at all', churn('{"inputs":[]}'), 400, 'TENSOR_MISMATCH', /'x'/),
  refusal(
    'an extra tensor',
    churn(
      JSON.stringify({
        inputs: [
          { name: 'x', shape: [1, 4], datatype: 'FP32', data: [1, 2, 3, 4] },
          { name: 'y2', shape: [1], datatype: 'FP32', data: [1] },
        ],
      }),
    ),
    400,
    'TENSOR_MISMATCH',
    /'y2'.*'x'/,
  ),
  refusal('a misnamed tensor', churn(requestBody({ name: 'X' })), 400, 'TENSOR_MISMATCH', /'X'.*'x'/),
  refusal(
    'the same tensor twice',
    churn(
      JSON.stringify({
        inputs: Array.from({ length: 2 }, () => ({ name: 'x', shape: [1, 4], datatype: 'FP32', data: [1, 2, 3, 4] })),
      }),
    ),
    400,
    'BAD_REQUEST',
    /"x" is given twice/,
  ),
  refusal('a wrong datatype', churn(requestBody({ datatype: 'FP64' })), 400, 'TENSOR_MISMATCH', /'x'.*FP64.*FP32/),
  refusal('an unknown datatype', churn(requestBody({ datatype: 'FLOAT' })), 400, 'TENSOR_MISMATCH', /FLOAT/),
  refusal('BF16', churn(requestBody({ datatype: 'BF16' })), 400, 'TENSOR_MISMATCH', /BF16/),
  refusal(
    'a wrong width',
    churn(requestBody({ shape: [1, 3], data: [1, 2, 3] })),
    400,
    'TENSOR_MISMATCH',
    /dimension 1 of its shape is 3; wanted 4 for \[N, 4\]/,
  ),
  refusal(
    'a wrong rank',
    churn(requestBody({ shape: [4] })),
    400,
    'TENSOR_MISMATCH',
    /has 1 dimensions; wanted 2: \[N, 4\]/,
  ),
  refusal('a negative dimension', churn(requestBody({ shape: [-1, 4] })), 400, 'TENSOR_MISMATCH', /-1/),
  refusal('too few elements', churn(requestBody({ data: [1, 2, 3] })), 400, 'TENSOR_MISMATCH', /3 elements.*4/),
  refusal(
    'an element that is no number',
    churn(requestBody({ data: [1, 2, 'many', 4] })),
    400,
    'BAD_INPUT_VALUE',
    /many/,
  ),
  refusal(
    'an unknown output',
    churn(requestBody({}).replace('}]}', '}],"outputs":[{"name":"z"}]}')),
    400,
    'TENSOR_MISMATCH',
    /'z'.*'y'/,
  ),
  refusal(
    'an integer beyond 64 bits',
    {
      ...churn('{"inputs":[{"name":"x","shape":[1,1],"datatype":"INT64","data":[9223372036854775808]}]}'),
      path: '/v2/models/acme/wide/infer',
    },
    400,
    'BAD_INPUT_VALUE',
    /9223372036854775807/,
  ),
  refusal(
    'an integer with a fraction',
    {
      ...churn('{"inputs":[{"name":"x","shape":[1,1],"datatype":"INT64","data":[1.5]}]}'),
      path: '/v2/models/acme/wide/infer',
    },
    400,
    'BAD_INPUT_VALUE',
    /1\.5/,
  ),
  refusal(
    'an unsafe integer that was rounded on its way',
    {
      ...churn('{"inputs":[{"name":"x","shape":[1,1],"datatype":"INT64","data":[1e300]}]}'),
      path: '/v2/models/acme/wide/infer',
    },
    400,
    'BAD_INPUT_VALUE',
    /1e\+?300/,
  ),
  refusal(
    'a value that the model itself refuses',
    {
      ...churn('{"inputs":[{"name":"ids","shape":[2],"datatype":"INT64","data":[3,16]}]}'),
      path: '/v2/models/acme/table/infer',
    },
    400,
    'BAD_INPUT_VALUE',
    /./,
  ),
]

const BODIES: readonly Case[] = [
  refusal('truncated binary', binary(tensorOf(16), new Uint8Array(12)), 400, 'TENSOR_MISMATCH', /'x'.*(12|16)/),
  refusal(
    'binary that goes on',
    binary(tensorOf(16), new Uint8Array(20)),
    400,
    'BAD_REQUEST',
    /20 bytes follow the JSON; the inputs announce 16/,
  ),
  refusal('a wrong byte count', binary(tensorOf(12), new Uint8Array(12)), 400, 'TENSOR_MISMATCH', /12.*16/),
  refusal('a negative byte count', binary(tensorOf(-1), new Uint8Array(16)), 400, 'TENSOR_MISMATCH', /-1/),
  refusal(
    'a negative JSON length',
    churn(requestBody({}), JSON_LENGTH, '-1'),
    400,
    'BAD_REQUEST',
    /'-1'.*number of bytes/,
  ),
  refusal(
    'a JSON length past the end',
    churn(requestBody({}), JSON_LENGTH, '1000'),
    400,
    'BAD_REQUEST',
    /is 1000, but the body has \d+ bytes/,
  ),
  refusal('a JSON length that is no number', churn(requestBody({}), JSON_LENGTH, 'ten'), 400, 'BAD_REQUEST', /'ten'/),
  refusal(
    'a JSON length in the middle of the JSON',
    churn(requestBody({}), JSON_LENGTH, '10'),
    400,
    'BAD_REQUEST',
    /JSON/,
  ),
  refusal('no body', churn(''), 400, 'BAD_REQUEST', /empty|JSON/),
  refusal('bad JSON', churn('{"inputs":[,]}'), 400, 'BAD_REQUEST', /not JSON/),
  refusal('JSON of another kind', churn('[1,2,3]'), 400, 'BAD_REQUEST', /object/),
  refusal(
    'JSON that is not UTF-8',
    churn(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])),
    400,
    'BAD_REQUEST',
    /UTF-8|inputs/,
  ),
  refusal(
    'JSON 100,000 deep',
    churn(`{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","data":${'['.repeat(1e5)}1${']'.repeat(1e5)}}]}`),
    400,
    'TENSOR_MISMATCH',
    /'x'/,
  ),
  refusal(
    'parameters 100,000 deep',
    churn(`{"parameters":${'{"a":'.repeat(1e5)}1${'}'.repeat(1e5)},"inputs":[]}`),
    400,
    'TENSOR_MISMATCH',
    /'x'/,
  ),
  refusal('JSON over its limit', churn(' '.repeat(MAX_JSON_BYTES + 1)), 413, 'BODY_TOO_LARGE', /1\.?0? MiB.*binary/),
  refusal(
    'a body over the limit',
    binary(tensorOf(MAX_BODY_BYTES), new Uint8Array(MAX_BODY_BYTES)),
    413,
    'BODY_TOO_LARGE',
    /2\.?0? MiB/,
  ),
  refusal(
    'a body over the limit after decompression',
    churn(gzipSync(Buffer.alloc(64 * 2 ** 20)), 'content-encoding', 'gzip', JSON_LENGTH, '2'),
    413,
    'BODY_TOO_LARGE',
    /decompressed/,
  ),
  refusal('an unknown encoding', churn('{}', 'content-encoding', 'br'), 415, 'UNSUPPORTED_ENCODING', /'br'/),
  refusal('a deadline that is no number', churn('{}', 'x-modelmux-timeout-ms', 'soon'), 400, 'BAD_REQUEST', /'soon'/),
]

const ELSEWHERE: readonly Case[] = [
  refusal('an unknown URL', { path: '/v3/models' }, 404, 'NOT_FOUND', /\/v3\/models/),
  refusal('a wrong method', { path: '/v2/models/acme/churn/infer' }, 405, 'METHOD_NOT_ALLOWED', /POST/),
  refusal('metadata of an unknown model', { path: '/v2/models/acme/chrun' }, 404, 'MODEL_NOT_FOUND', /'acme\/churn'/),
  refusal(
    'readiness of an unknown version',
    { path: '/v2/models/acme/churn/versions/9/ready' },
    404,
    'VERSION_NOT_FOUND',
    /7/,
  ),
  refusal('a load of an unknown model', to('/v2/repository/models/nope/load'), 404, 'MODEL_NOT_FOUND', /'nope'/),
  refusal(
    'a load that brings its own file',
    { method: 'POST', path: '/v2/repository/models/x/load', body: '{"parameters":{"file:1/model.onnx":"AA=="}}' },
    501,
    'UNSUPPORTED',
    /file:1\/model\.onnx/,
  ),
]

for (const [what, cases] of Object.entries({
  'model names': NAMES,
  tensors: TENSORS,
  bodies: BODIES,
  'other URLs': ELSEWHERE,
})) {
  describe(`bad ${what}`, () => {
    for (const { what: item, send, status, code, tells } of cases) {
      it(`are refused with ${status} ${code}: ${item}`, async () => {
        assertRefused(await server.client.send(send), status, code, tells)
        await stillServes()
      })
    }
  })
}

async function stillServes(): Promise<void> {
  const inputs = addOne().inputs(rng, 1)
  assertOutputs(await infer(server.client, 'acme/churn', inputs), addOne().expected(inputs))
}
