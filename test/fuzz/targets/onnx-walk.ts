/** The walk through a model file, from memory and through a window over a file: both must come to the same. */
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { modelBytes } from '../../../loadtest/models/index.ts'
import * as special from '../../../loadtest/models/special/index.ts'
import { ExternalFiles } from '../../../src/artifact/external-files.ts'
import type { ModelFacts } from '../../../src/artifact/walk.ts'
import { walkModel } from '../../../src/artifact/walk.ts'
import { ByteWindow } from '../../../src/artifact/wire.ts'
import { GatewayError } from '../../../src/domain/errors.ts'
import { mutateBytes } from '../mutate-bytes.ts'
import { mutateProto } from '../mutate-proto.ts'
import { demand, type FuzzTarget } from '../target.ts'

const LIMITS = { maxNodes: 100_000, extraDomains: ['acme.allowed'] }
/** One case in so many is read from a file as well: that costs system calls. */
const FILE_SHARE = 8

const SMALL: readonly Buffer[] = [
  special.addOne().model,
  special.sumAndDifference().model,
  special.tableLookup(4).model,
  special.identity('BYTES').model,
  special.reshaped().model,
  special.softmaxOverBatch().model,
  special.externalAt('weights.bin'),
  special.externalAt('../outside.bin', 'branch'),
  special.externalAt('sub/weights.bin', 'constant'),
  special.constantOfShapeBomb(),
  special.unknownDomain(),
  special.epContext(),
  special.wrongRawLength(),
  special.overflowingDims(),
].map((model) => Buffer.from(modelBytes(model)))

/** With subgraphs and functions, and weights that make them large. */
const LARGE: readonly Buffer[] = [
  special.branches().model,
  special.repeated().model,
  special.nested(2).model,
  special.functionWithConstant().model,
  special.functionWithBranches().model,
].map((model) => Buffer.from(modelBytes(model)))

interface Scene {
  readonly files: ExternalFiles
  readonly fd: number
}

let opened: Scene | undefined

export const onnxWalk: FuzzTarget = {
  name: 'onnx-walk',
  share: 0.4,
  refusals: new Set(['ARTIFACT_INVALID']),

  make(dice) {
    const seed = dice.pick(dice.chance(0.005) ? LARGE : SMALL)
    return dice.chance(0.7) ? mutateProto(dice, seed) : mutateBytes(dice, seed, dice.pick(SMALL))
  },

  run(input) {
    opened ??= openScene()
    const scene = opened
    if (input.length % FILE_SHARE === 0) checkSameFromFile(input, scene)
    const facts = walkModel(ByteWindow.ofBuffer(input), scene.files, LIMITS)
    checkFacts(facts, input.length)
    return facts
  },
}

function checkFacts({ nodes, tensorBytes, signature, operators, batchHazards }: ModelFacts, bytes: number): void {
  demand(nodes <= bytes, `${nodes} nodes in ${bytes} bytes`)
  demand(Number.isSafeInteger(tensorBytes) && tensorBytes >= 0, `${tensorBytes} bytes of tensors`)
  demand(signature.outputs.length > 0, 'no outputs')
  const counted = Object.values(operators).reduce((sum, count) => sum + count, 0)
  demand(counted === nodes, `${counted} operators of ${nodes} nodes`)
  demand(
    batchHazards.every((hazard) => typeof hazard === 'string' && hazard !== ''),
    'a hazard without a name',
  )
  for (const { shape } of [...signature.inputs, ...signature.outputs])
    demand(
      shape.every((size) => typeof size === 'string' || (Number.isSafeInteger(size) && size >= -1)),
      'a bad size',
    )
}

function checkSameFromFile(input: Buffer, { files, fd }: Scene): void {
  ftruncateSync(fd, 0)
  writeSync(fd, input, 0, input.length, 0)
  const fromMemory = outcomeOf(() => walkModel(ByteWindow.ofBuffer(input), files, LIMITS))
  const fromFile = outcomeOf(() => walkModel(ByteWindow.ofFile(fd, input.length), files, LIMITS))
  demand(fromMemory === fromFile, `memory says ${fromMemory}, the file says ${fromFile}`)
}

/** What another error is, is judged when the input is read again. */
function outcomeOf(walk: () => ModelFacts): string {
  try {
    return JSON.stringify(walk())
  } catch (error) {
    if (error instanceof GatewayError) return `${error.code}: ${error.message}`
    throw error
  }
}

/** A version's folder with nothing in it, and a file to write inputs to that has no name any more. */
function openScene(): Scene {
  const root = mkdtempSync(join(tmpdir(), 'modelmux-fuzz-'))
  process.once('exit', () => rmSync(root, { recursive: true, force: true }))
  const fd = openSync(join(root, 'input.onnx'), 'w+')
  process.once('exit', () => closeSync(fd))
  return { fd, files: new ExternalFiles(root, join(root, 'model.onnx'), { allowHardLinks: false }) }
}
