/** A folder of models as a user keeps one, in a temporary place; removed by its owner. */
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { writeModel } from '../../loadtest/models/index.ts'
import type { OnnxModel } from '../../loadtest/models/onnx-model.ts'
import type { ExternalOptions } from '../../loadtest/models/onnx-writer.ts'

export class ModelsFolder {
  readonly dir: string

  private constructor(dir: string) {
    this.dir = dir
  }

  static async make(): Promise<ModelsFolder> {
    return new ModelsFolder(await mkdtemp(join(tmpdir(), 'modelmux-folder-')))
  }

  path(name: string, ...parts: string[]): string {
    return join(this.dir, name, ...parts)
  }

  /** Writes a version, or replaces it in one step; `external` moves weights to a sidecar. */
  async write(name: string, version: string, model: OnnxModel, external?: ExternalOptions): Promise<void> {
    await writeModel(this.path(name, version, 'model.onnx'), model, external === undefined ? {} : { external })
  }

  /** Any file of a version, replaced in one step. */
  async writeFile(name: string, version: string, file: string, bytes: Uint8Array | string): Promise<void> {
    await this.#replace(this.path(name, version, file), bytes)
  }

  async aliases(name: string, aliases: Readonly<Record<string, string>>): Promise<void> {
    await this.#replace(this.path(name, 'aliases.json'), JSON.stringify(aliases))
  }

  /** The model's `modelmux.yaml`; every JSON text is YAML. */
  async settings(name: string, settings: object): Promise<void> {
    await this.#replace(this.path(name, 'modelmux.yaml'), JSON.stringify(settings))
  }

  /** A model, or one version of it. */
  async remove(name: string, version = ''): Promise<void> {
    await rm(this.path(name, version), { recursive: true })
  }

  /** The folder itself: the end of it. */
  async removeAll(): Promise<void> {
    await rm(this.dir, { recursive: true, force: true })
  }

  async #replace(path: string, bytes: Uint8Array | string): Promise<void> {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(`${path}.partial`, bytes)
    await rename(`${path}.partial`, path)
  }
}
