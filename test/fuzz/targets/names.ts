/**
 * What an inference's path and headers say: the model, its version or alias, the terms.
 *
 *   input = path | LF | name: value | LF | name: value ..., bytes as latin1, as Node hands headers over
 */
import { formatModelRef, nameProblem, parseModelRef } from '../../../src/domain/model-ref.ts'
import { splitModelPath } from '../../../src/http/model-path.ts'
import {
  combineRefs,
  INFER_HEADERS,
  matchInferPath,
  readInferHeaders,
  readPathRef,
} from '../../../src/protocol/headers.ts'
import { mutateBytes } from '../mutate-bytes.ts'
import { demand, type FuzzTarget } from '../target.ts'

const PATHS = [
  '/v2/infer',
  '/v2/models/acme/churn/infer',
  '/v2/models/acme%2Fchurn/versions/7/infer',
  `/v2/models/${encodeURIComponent('größe 模型')}/infer?x=1`,
  '/v2/models/a/b/c/d/versions/000000000000000001/infer',
  '/v2/models/a%252fb/infer',
  '/v2/models/%2e%2e/%2E/infer',
  '/v2/models/x%c0%af/infer',
]
const VALUES = [
  'acme/churn',
  'acme/churn:7',
  'acme/churn@champion',
  'gr%C3%B6%C3%9Fe',
  '100',
  '0.5',
  'load',
  'refuse',
  '17',
  '-1',
  '',
]
const NAMES = [...INFER_HEADERS, 'serve-multiplexed-model-id', 'Serve-Multiplexed_Model-ID', 'x-request-id', 'host']
const SEEDS = PATHS.flatMap((path) =>
  NAMES.flatMap((name) =>
    VALUES.map((value) => Buffer.from(`${path}\n${name}: ${value}\n${NAMES[0] ?? ''}: ${value}`, 'latin1')),
  ),
).concat(PATHS.map((path) => Buffer.from(path, 'latin1')))

export const names: FuzzTarget = {
  name: 'names',
  share: 0.16,
  refusals: new Set(['BAD_MODEL_REF', 'BAD_REQUEST', 'MODEL_REQUIRED']),

  make: (dice) => mutateBytes(dice, dice.pick(SEEDS), dice.pick(SEEDS)),

  run(input) {
    const [path = '', ...lines] = input.toString('latin1').split('\n')
    splitModelPath(path)
    const headers = readInferHeaders(
      lines.flatMap((line) => [line.split(':', 1)[0] ?? '', line.slice(line.indexOf(':') + 1).trim()]),
    )
    const fromPath = matchInferPath(path)
    if (fromPath === undefined) return undefined
    const ref = combineRefs(fromPath.ref, headers.ref)
    demand(nameProblem(ref.name) === undefined, `the name '${ref.name}'`)
    demand(ref.version === undefined || ref.alias === undefined, 'a version and an alias')
    demand(!ref.name.split('/').some((segment) => segment === '..' || segment === '.'), `dots in '${ref.name}'`)
    demand(headers.timeoutMs === undefined || headers.timeoutMs > 0, `a timeout of ${headers.timeoutMs} ms`)
    demand(
      headers.jsonBytes === undefined || Number.isSafeInteger(headers.jsonBytes),
      `${headers.jsonBytes} bytes of JSON`,
    )
    const text = formatModelRef(ref)
    demand(formatModelRef(parseModelRef(text)) === text, `'${text}' is not read as it is written`)
    const inPath = ref.version === undefined ? ref.name : `${ref.name}/versions/${ref.version}`
    const again = readPathRef(inPath.split('/').map(encodeURIComponent).join('/'))
    demand(again.name === ref.name && again.version === ref.version, `'${inPath}' is not read as it is written`)
    return { ...headers, ref }
  },
}
