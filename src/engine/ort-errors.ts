/**
 * Turns what ONNX Runtime throws into errors of ours. Its Node binding passes on text only, no status code, so a run that fails is
 * judged by the phrases that ONNX Runtime 1.30 uses where a kernel returns INVALID_ARGUMENT. A phrase missing here makes a caller's
 * mistake a 500: unkind, never unsafe. The raw text, which may hold paths, travels as `cause` for the log.
 */
import { GatewayError } from '../domain/errors.ts'
import { printable } from '../domain/model-ref.ts'

/** What the engine says of inputs that do not fit the graph, and of values and shapes that a kernel refuses. */
const CALLERS_FAULT = [
  /^Got invalid dimensions for input/,
  /^Invalid rank for input/,
  /^Unexpected input data type/,
  /^input '.*' is missing in 'feeds'/,
  /^Invalid (?:Feed )?Input Name/i,
  /out of (?:data )?bounds/i,
  /out of range/i,
  /must be (?:with)?in the (?:inclusive )?range/i,
  /Attempting to broadcast an axis/,
  /(?:cannot|can't|could not) (?:be )?broadcast/i,
  /cannot be reshaped to the requested shape/i,
  /dimensions? (?:mismatch|must match|do(?:es)? not match|should match)/i,
  /dim(?:ension)?s? .*(?:not equal|not match|mismatch)/i,
  /division by zero/i,
  /invalid argument/i,
]

/** Resource trouble is never the caller's fault, whatever else the text says. */
const OURS = [/bad_alloc/, /failed to allocate/i, /out of memory/i]

export function runError(thrown: unknown): GatewayError {
  const text = textOf(thrown)
  if (!OURS.some((phrase) => phrase.test(text)) && CALLERS_FAULT.some((phrase) => phrase.test(text))) {
    return new GatewayError('BAD_INPUT_VALUE', `the model refuses the input: ${reasonOf(text)}`, {}, { cause: thrown })
  }
  const node = /while running (\w+) node/.exec(text)?.[1]
  const where = node === undefined ? '' : ` in a node of type ${node}`
  return new GatewayError(
    'INFERENCE_FAILED',
    `the engine failed on this request${where}; the log has its words`,
    {},
    { cause: thrown },
  )
}

export function openError(thrown: unknown): GatewayError {
  return new GatewayError(
    'ARTIFACT_INVALID',
    'the engine cannot open the model; the log has its words',
    {},
    { cause: thrown },
  )
}

/** The engine's reason without source files, functions and node names, in one line. */
function reasonOf(text: string): string {
  const status = text.slice(Math.max(0, text.lastIndexOf('Status Message: ')))
  const bare = status
    .replace('Status Message: ', '')
    // "/onnxruntime_src/onnxruntime/core/.../x.h:123 signature(...) [with ...] " comes before the words.
    .replace(/^\S*\/\S+:\d+ \S.*?\)(?: const)?(?: \[with [^\]]*\])? /, '')
    .replaceAll(/\s+/g, ' ')
    .trim()
  return printable(bare)
}

function textOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}
