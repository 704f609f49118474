/** The bombs of the hostile tenant: files that are bombs, and files of which one request is. `index` makes each file and body another one. */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { type InferBody, inferBody } from '../generator/infer-request.ts'
import { modelBytes } from '../models/index.ts'
import { BOMBS, type Bomb, epContext, overflowingDims, truncated, unknownOperator } from '../models/special/index.ts'

export interface HostileModel {
  readonly name: string
  readonly bytes: (index: number) => Uint8Array
  readonly body: InferBody
}

/** ModelProto.doc_string: text that changes a file and nothing else. */
const DOC_STRING = 6
/** It would be most of what is written; its walk is measured with fewer nodes among the tests. */
const TOO_LARGE: ReadonlySet<string> = new Set(['a-million-nodes'])

const zoo = (goesOff: readonly Bomb['goesOff'][]): HostileModel[] =>
  BOMBS.filter((bomb) => goesOff.includes(bomb.goesOff) && !TOO_LARGE.has(bomb.name)).map(
    ({ name, bytes, trigger }) => ({
      name,
      bytes: (index) => relabelled(bytes(), index),
      body: inferBody(trigger(), 'json'),
    }),
  )

const anything = inferBody([{ name: 'x', shape: [1, 4], datatype: 'FP32', data: new Float32Array(4) }], 'json')

/** Refused when they are walked, compiled or checked. */
export const FILE_BOMBS: readonly HostileModel[] = [
  ...zoo(['walk', 'compile']),
  {
    name: 'half-a-file',
    bytes: (index) => truncated(relabelled(modelBytes(unknownOperator()), index)),
    body: anything,
  },
  { name: 'a-compiled-cache-elsewhere', bytes: (index) => modelBytes(epContext(`../${index}.bin`)), body: anything },
  { name: 'overflowing-dims', bytes: (index) => relabelled(modelBytes(overflowingDims()), index), body: anything },
  { name: 'unknown-operator', bytes: (index) => relabelled(modelBytes(unknownOperator()), index), body: anything },
]

/** Their runs crash a worker, never end, take all its memory, or give an answer that nobody can hold. */
export const RUN_BOMBS: readonly HostileModel[] = zoo(['run', 'request'])

/** A message's last field of a kind counts: what is appended takes the place of what was there. */
function relabelled(bytes: Uint8Array, index: number): Uint8Array {
  const field = new BinaryWriter().tag(DOC_STRING, WireType.LengthDelimited).string(`hostile ${index}`).finish()
  return Buffer.concat([bytes, field])
}
