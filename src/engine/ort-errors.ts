/**
 * Turns what ONNX Runtime throws into errors of ours. Its Node binding passes on text only, no status code, so a run that fails is
 * judged by the words that ONNX Runtime 1.30 uses. The raw text, which may hold paths, travels as `cause` for the log.
 */
import { GatewayError } from '../domain/errors.ts'
import { printable } from '../domain/model-ref.ts'

/**
 * What the engine says of inputs that do not fit the graph, and of values and shapes that a kernel refuses. Wide on purpose: an artifact
 * has shown that it runs before it serves, so a kernel that complains of what it was given complains of the request; were that held
 * against the model, one caller's bad requests would count it broken for all.
 */
const CALLERS_FAULT = [
  // Before anything runs: inputs against the graph's declarations.
  /^Got invalid dimensions for input/,
  /^Unexpected input data type/,
  /^input '.*' is missing in 'feeds'/,
  // While a kernel runs: indices, and sizes that do not go together.
  /out of (?:data )?bounds/i,
  /out of range/i,
  /mismatch/i,
  /\binvalid\b/i,
  /\bmust (?:be|have|match)\b/i,
  /not equal/i,
  /broadcast/i,
  /cannot be reshaped/i,
  /(?:division|modulo) by zero/i,
  /can ?not be zero/i,
  /valid range/i,
  // Sizes made of values: a shape to expand to, a number of repeats.
  /integer overflow/i,
  /size overflowed/i,
  /exceeds the supported/i,
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

/**
 * What the engine and the system say when memory, mappings, descriptors or a file were not there at that moment. It says nothing about
 * the model's bytes: the same file opens when there is room again.
 */
const PASSING = [
  ...OURS,
  /bad_array_new_length/,
  /cannot allocate/i,
  /\bmmap\b/i,
  /too many open files/i,
  /no such file|file doesn't exist|path does not exist/i,
  /temporarily unavailable/i,
  /input\/output error/i,
]

/** ARTIFACT_INVALID for what lies in the bytes, MODEL_LOAD_FAILED for what passes; the engine's words in `cause`. */
export function openError(thrown: unknown): GatewayError {
  const text = textOf(thrown)
  if (PASSING.some((phrase) => phrase.test(text))) {
    return new GatewayError(
      'MODEL_LOAD_FAILED',
      'the engine could not get what it needs to open the model (memory, mappings, files); the log has its words',
      {},
      { cause: thrown },
    )
  }
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
    // "/onnxruntime_src/onnxruntime/core/.../x.h:123 signature(...) [with ...] " or "x.h:123 Function " comes before the words.
    .replace(/^\/\S+:\d+ \S.*?\)(?: const)?(?: \[with [^\]]*\])? /, '')
    .replace(/^\w+\.(?:h|cc):\d+ \w+(?:\(\))? /, '')
    .replaceAll(/\s+/g, ' ')
    .trim()
  return printable(bare)
}

function textOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}
