/**
 * Reads an `MLmodel`, the file in which MLflow says how a model was saved. Anybody may have written it: it is read as plain YAML, without
 * tags, anchors or anything that could be executed, and of all it says only the few fields of the onnx flavor that are used here.
 */
import { parseDocument } from 'yaml'
import { z } from 'zod'
import { printable } from '../domain/model-ref.ts'

export const MLMODEL_FILE = 'MLmodel'
/** With a signature of many columns, which is passed over. */
export const MLMODEL_MAX_BYTES = 2 ** 20

export interface MlModel {
  /** Relative to the folder, as the file has it: not checked. */
  readonly modelFile: string
  readonly intraOpThreads?: number
  /** Of the input example, as above. */
  readonly exampleFile?: string
}

/** The text is no MLmodel of a model that can be served. The message names nothing but flavors and fields. */
export class MlModelError extends Error {
  override readonly name = 'MlModelError'
}

/** The blocks of the file that are read; each begins with its name in the first column. */
const BLOCKS: ReadonlySet<string> = new Set(['flavors', 'saved_input_example_info'])
/** The YAML library takes time that grows with the square of some texts: 0.4 s for these at most. MLflow writes 1 KB of them. */
const MAX_YAML_CHARACTERS = 32 * 1024
const DEFAULT_MODEL_FILE = 'model.onnx'
const SHOWN_FLAVORS = 5

const onnxFlavor = z.object({
  data: z.string().min(1).max(1024).default(DEFAULT_MODEL_FILE),
  // Of session options only this one is used, and only where it is right. What else they hold reaches no engine.
  onnx_session_options: z
    .object({ intra_op_num_threads: z.int().min(1) })
    .nullish()
    .catch(undefined),
})
const content = z.object({
  flavors: z.record(z.string(), z.unknown()),
  saved_input_example_info: z
    .object({ artifact_path: z.string().nullish(), serving_input_path: z.string().nullish() })
    .nullish()
    .catch(undefined),
})

/** @param maxThreads what the file may ask for at most @throws MlModelError */
export function parseMlModel(text: string, maxThreads: number): MlModel {
  const parsed = content.safeParse(yamlOf(blocksOf(text)))
  if (!parsed.success) throw new MlModelError(`its ${MLMODEL_FILE} names no flavors`)
  const { flavors, saved_input_example_info: example } = parsed.data
  if (!Object.hasOwn(flavors, 'onnx')) throw new MlModelError(otherFlavors(Object.keys(flavors)))
  const flavor = onnxFlavor.safeParse(flavors.onnx)
  if (!flavor.success) {
    const field = flavor.error.issues[0]?.path.join('.') ?? ''
    throw new MlModelError(
      `the onnx flavor in its ${MLMODEL_FILE} is not as it should be${field === '' ? '' : ` at ${field}`}`,
    )
  }
  const { data, onnx_session_options: options } = flavor.data
  const exampleFile = example?.serving_input_path ?? example?.artifact_path
  return {
    modelFile: data,
    ...(options === undefined || options === null
      ? {}
      : { intraOpThreads: Math.min(options.intra_op_num_threads, maxThreads) }),
    ...(exampleFile === undefined || exampleFile === null ? {} : { exampleFile }),
  }
}

function otherFlavors(names: readonly string[]): string {
  const shown = names.slice(0, SHOWN_FLAVORS).map((name) => `'${printable(name)}'`)
  const more = names.length > SHOWN_FLAVORS ? ` and ${names.length - SHOWN_FLAVORS} more` : ''
  const what = names.length === 0 ? 'it was saved in none' : `it was saved as ${shown.join(', ')}${more}`
  return `only models with MLflow's onnx flavor are served; ${what}`
}

/** Those parts of the text that are read: a block goes on until the next line that begins with a name in the first column. */
function blocksOf(text: string): string {
  const kept: string[] = []
  let characters = 0
  let isKept = false
  for (const line of text.split('\n')) {
    if (/^[^\s#-]/.test(line)) isKept = BLOCKS.has(/^([A-Za-z0-9_]+):/.exec(line)?.[1] ?? '')
    if (!isKept) continue
    characters += line.length + 1
    if (characters > MAX_YAML_CHARACTERS)
      throw new MlModelError(`the flavors in its ${MLMODEL_FILE} take more than ${MAX_YAML_CHARACTERS} characters`)
    kept.push(line)
  }
  return kept.join('\n')
}

function yamlOf(text: string): unknown {
  const document = parseDocument(text, { schema: 'core', logLevel: 'silent', uniqueKeys: true })
  // A tag that the schema does not know is a warning.
  if (document.errors.length > 0 || document.warnings.length > 0)
    throw new MlModelError(`its ${MLMODEL_FILE} is no plain YAML`)
  try {
    return document.toJS({ maxAliasCount: 0 })
  } catch (cause) {
    throw new MlModelError(`its ${MLMODEL_FILE} is no plain YAML`, { cause })
  }
}
