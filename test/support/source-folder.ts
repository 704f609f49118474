/** A models folder of made-up files in the temp folder: for tests of what looks at files and never opens a model. */
import { mkdtempSync, realpathSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

export class SourceFolder {
  readonly path = realpathSync(mkdtempSync(join(tmpdir(), 'modelmux-models-')))

  /** Writes one file, and the folders around it. */
  async write(path: string, content = 'bytes'): Promise<void> {
    await mkdir(dirname(this.at(path)), { recursive: true })
    await writeFile(this.at(path), content)
  }

  /** A version with a model file of these bytes. */
  writeVersion(name: string, version = '1', content = `model ${name} ${version}`): Promise<void> {
    return this.write(`${name}/${version}/model.onnx`, content)
  }

  async remove(path: string): Promise<void> {
    await rm(this.at(path), { recursive: true })
  }

  at(path: string): string {
    return join(this.path, path)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true, force: true })
  }
}
