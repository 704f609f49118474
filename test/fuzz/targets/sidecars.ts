/**
 * The small files beside a model, `modelmux.yaml`, `aliases.json`, `MLmodel` and `modelmux.blobs.json`, and the manifests of artifacts.
 *
 *   input = which of them (1 byte) | its text
 */
import { parseManifest } from '../../../src/artifact/manifest.ts'
import { isVersion } from '../../../src/domain/model-ref.ts'
import { parseSharedFiles, remoteFileOf, renderSharedFiles } from '../../../src/domain/shared-blobs.ts'
import { parseAliases } from '../../../src/registry/aliases-file.ts'
import { parseMlModel } from '../../../src/registry/mlmodel.ts'
import { defaultSettings, parseSettings } from '../../../src/registry/model-settings.ts'
import { mutateBytes } from '../mutate-bytes.ts'
import { mutateJson } from '../mutate-json.ts'
import { demand, type FuzzTarget } from '../target.ts'

const KINDS = { settings: 0, aliases: 1, manifest: 2, mlmodel: 3, shared: 4 } as const
const KIND_COUNT = Object.keys(KINDS).length
const ROOT = { bucket: 'models', prefix: 'prod/' }
const MAX_THREADS = 8
const DEFAULTS = defaultSettings({ batching: 'auto', maxRows: 64, maxDelayMs: 0, intraOpThreads: 1 })
/** An operator reads it, one line for each problem. */
const LONGEST_PROBLEM = 64 * 1024

const SEEDS: readonly Buffer[] = [
  seed(KINDS.settings, 'batching:\n  mode: auto\n  maxRows: 8\nintraOpThreads: 2\n'),
  seed(KINDS.settings, 'a: &a [x, x]\nb: &b [*a, *a]\nwarmUp: [*b, *b]\n'),
  seed(KINDS.settings, '{"deadlineMs": 100, "warmUp": [{"inputs": [{"name": "x", "data": [1]}]}]}'),
  seed(KINDS.settings, '? !!binary aGk=\n: !!set {a, b}\n<<: {maxRows: 1}\n--- |\n text\n'),
  seed(KINDS.aliases, '{"champion": "7", "shadow": 8}'),
  seed(
    KINDS.mlmodel,
    'flavors:\n  onnx:\n    data: model.onnx\n    onnx_session_options:\n      intra_op_num_threads: 4\n',
  ),
  seed(KINDS.mlmodel, 'run_id: a\nflavors: {onnx: &a {data: x}, other: *a}\nsaved_input_example_info:\n- !!set {b}\n'),
  seed(KINDS.shared, renderSharedFiles([{ path: 'blobs/ab/x', sha256: 'ab'.repeat(32), bytes: 70_000 }])),
  seed(
    KINDS.manifest,
    '{"format":1,"artifact":"a","fingerprint":{"source":"s"},"form":"plain","file":"a.onnx","graph":{"digest":"0"},"blobs":[{"digest":"1","bytes":2}],"files":[{"path":"x","digest":"2"}],"signature":{"inputs":[],"outputs":[]}}',
  ),
]

export const sidecars: FuzzTarget = {
  name: 'sidecars',
  share: 0.02,
  refusals: new Set(),

  make(dice) {
    const one = dice.pick(SEEDS)
    if (one.includes('{"') && dice.chance(0.6)) return seed(one[0] ?? 0, mutateJson(dice, one.toString('utf8', 1)))
    return mutateBytes(dice, one, dice.pick(SEEDS))
  },

  run(input) {
    const text = input.toString('utf8', 1)
    try {
      return readOf((input[0] ?? 0) % KIND_COUNT, text)
    } catch (error) {
      if (!isProblem(error) || (input[0] ?? 0) % KIND_COUNT === KINDS.manifest) throw error
      demand(error.message.length <= LONGEST_PROBLEM, `a problem of ${error.message.length} characters`)
      return undefined
    }
  },
}

function readOf(kind: number, text: string): unknown {
  if (kind === KINDS.manifest) return parseManifest(text, 'a')
  if (kind === KINDS.mlmodel) {
    const model = parseMlModel(text, MAX_THREADS)
    demand((model.intraOpThreads ?? 1) <= MAX_THREADS, `${model.intraOpThreads} threads`)
    demand(model.modelFile !== '', 'no model file')
    return model
  }
  if (kind === KINDS.shared) {
    const files = parseSharedFiles(text).map((file) => remoteFileOf(file, ROOT))
    for (const { location } of files)
      demand(/^s3:\/\/models\/prod\/\.blobs\/[0-9a-f]{2}\/[0-9a-f]{64}$/.test(location), `it lies at ${location}`)
    return files
  }
  if (kind === KINDS.settings) {
    const settings = parseSettings(text, DEFAULTS)
    demand(settings.batching.maxRows >= 1, 'no rows')
    return settings
  }
  const aliases = parseAliases(text)
  for (const [alias, version] of aliases) demand(alias !== '' && isVersion(version), `${alias}: ${version}`)
  return aliases
}

/** Their contract is an Error that says what is wrong; a TypeError is one about our code. (A ReferenceError is the YAML library's.) */
function isProblem(error: unknown): error is Error {
  return error instanceof Error && !(error instanceof TypeError) && error.name !== 'FuzzFailure'
}

function seed(kind: number, text: string): Buffer {
  return Buffer.concat([Buffer.of(kind), Buffer.from(text)])
}
