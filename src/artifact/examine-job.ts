/** The compiler child's first look at a source: is it sane, which files matter, what are their bytes. */
import { dirname, join, relative, resolve } from 'node:path'
import { killPoint } from '../child/kill-points.ts'
import { systemClock } from '../lib/clock.ts'
import type { ExamineCall, ExamineReply } from './compiler-protocol.ts'
import { ExternalFiles } from './external-files.ts'
import { withFile } from './range-reader.ts'
import { refusal } from './refusal.ts'
import { digestFile, sourceDigest } from './source-digest.ts'
import type { ModelFacts, WalkLimits } from './walk.ts'
import { walkModel } from './walk.ts'

/** `ORTM` at byte 4 marks ONNX Runtime's own format, whatever the file is called. */
const ORT_MAGIC = 'ORTM'
const ORT_MAGIC_AT = 4

/** @throws GatewayError ARTIFACT_INVALID when the source is refused, ARTIFACT_UNREACHABLE when it is gone */
export function examine(call: ExamineCall): ExamineReply {
  const started = systemClock.now()
  const { facts, files } = isOrtFile(join(call.dir, call.modelFile))
    ? ortFacts(call)
    : walkFile(call.dir, call.modelFile, call)
  const walked = systemClock.now()
  killPoint('walk')
  const paths = [call.modelFile, ...files.map((file) => relative(resolve(call.dir), resolve(file.path)))]
  const timings = { walk: walked - started }
  const known = facts === undefined ? {} : { signature: facts.signature, hasBodies: facts.hasBodies }
  const reply = { ...known, files: paths }
  const digest = call.signatureOnly === true ? '' : call.digest
  if (digest !== undefined) return { ...reply, digest, bytes: bytesOf(call, files), timings }
  const digested = paths.map((path) => digestFile(call.dir, path))
  killPoint('digest')
  const bytes = digested.reduce((sum, file) => sum + file.bytes, 0)
  return { ...reply, digest: sourceDigest(digested), bytes, timings: { ...timings, hash: systemClock.now() - walked } }
}

/** Walks a model file below `root`, which its external data may not leave. @throws GatewayError ARTIFACT_INVALID */
export function walkFile(
  root: string,
  modelFile: string,
  { limits, allowHardLinks }: { readonly limits: WalkLimits; readonly allowHardLinks: boolean },
): { readonly facts: ModelFacts; readonly files: ExternalFiles['files'] } {
  const path = join(root, modelFile)
  const external = new ExternalFiles(root, path, { allowHardLinks })
  return withModel(path, (window) => ({ facts: walkModel(window, external, limits), files: external.files }))
}

function ortFacts(call: ExamineCall): { readonly facts: undefined; readonly files: ExternalFiles['files'] } {
  if (!call.allowOrt) {
    throw refusal(
      `'${call.modelFile}' is in ONNX Runtime's own format, which is as trusted as native code; publish the ONNX file, or set artifact.allowOrt`,
    )
  }
  return { facts: undefined, files: [] }
}

function isOrtFile(path: string): boolean {
  if (path.endsWith('.ort')) return true
  return withModel(
    path,
    (window) =>
      window.size > ORT_MAGIC_AT + ORT_MAGIC.length &&
      window.text(ORT_MAGIC_AT, ORT_MAGIC_AT + ORT_MAGIC.length) === ORT_MAGIC,
  )
}

function bytesOf(call: ExamineCall, files: ExternalFiles['files']): number {
  const model = withModel(join(call.dir, call.modelFile), (window) => window.size)
  return files.reduce((sum, file) => sum + file.bytes, model)
}

function withModel<T>(path: string, use: Parameters<typeof withFile<T>>[1]): T {
  try {
    return withFile(path, use)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      throw refusal(`the model file '${path.slice(dirname(path).length + 1)}' is gone`, undefined, error)
    }
    throw error
  }
}
