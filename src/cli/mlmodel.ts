/** The `MLmodel` without which MLflow does not know a folder as a model, for folders that have none. */
import { hash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { MODEL_FILES } from '../domain/source-identity.ts'
import type { LocalFile } from './local-version.ts'

const MLMODEL = 'MLmodel'
const [ONNX_FILE] = MODEL_FILES

/** The files, and an `MLmodel` beside them where one is missing and MLflow has a flavor for the model. It is written to `workDir`. */
export async function withMlModel(files: readonly LocalFile[], workDir: string): Promise<readonly LocalFile[]> {
  const paths = new Set(files.map(({ path }) => path))
  if (paths.has(MLMODEL) || !paths.has(ONNX_FILE)) return files
  const text = Buffer.from(mlModelText())
  const file = join(workDir, MLMODEL)
  await writeFile(file, text)
  return [{ path: MLMODEL, bytes: text.length, sha256: hash('sha256', text, 'hex'), file, from: 0 }, ...files]
}

/** Nothing in it says when or by whom: the same folder is the same version. */
function mlModelText(): string {
  return [
    'artifact_path: model',
    'flavors:',
    '  onnx:',
    '    code: null',
    `    data: ${ONNX_FILE}`,
    '  python_function:',
    `    data: ${ONNX_FILE}`,
    '    loader_module: mlflow.onnx',
    '',
  ].join('\n')
}
