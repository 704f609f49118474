/**
 * The artifact room and the store without disk or compilers: a model is what its recipe says, each phase of a load can be held
 * by a gate, and files can be damaged. Counts holds, so that a test sees whether each is given back once.
 */
import assert from 'node:assert/strict'
import type { ReplicaArtifacts } from '../../src/app/replica-rooms.ts'
import type { Manifest } from '../../src/domain/artifact.ts'
import type { ModelVersion } from '../../src/domain/model-version.ts'
import type { Signature } from '../../src/domain/tensor-types.ts'
import type { CompileSource, StagedSource } from '../../src/replica/loads.ts'
import { Gate } from './gate.ts'

export class ScriptedArtifacts implements ReplicaArtifacts {
  readonly fetches = new Gate()
  readonly compiles = new Gate()
  readonly pageIns = new Gate()
  readonly checks = new Gate()
  readonly verifies = new Gate()
  /** What compiling a source gives, by its id. */
  readonly recipes = new Map<string, Manifest>()
  /** Artifacts on disk, by source. */
  readonly compiled = new Map<string, Manifest>()
  readonly damaged = new Set<string>()
  /** Every fetch, compile and page-in that was begun, as `compile a:1`. */
  readonly log: string[] = []
  readonly #holds = new Map<string, number>()

  readonly stage = async ({ name, version }: ModelVersion): Promise<StagedSource> => {
    this.log.push(`fetch ${name}:${version}`)
    await this.fetches.pass(name)
    return {
      dir: `/staged/${name}`,
      modelFile: 'model.onnx',
      files: [],
      bytes: 1000,
      isUnchanged: async () => true,
      release() {},
    }
  }

  find(sourceId: string): Manifest | undefined {
    return this.compiled.get(sourceId)
  }

  async compile({ key, sourceId }: CompileSource): Promise<{ manifest: Manifest }> {
    const name = key.slice(0, key.indexOf('#'))
    this.log.push(`compile ${name}`)
    await this.compiles.pass(name)
    const manifest = this.#recipe(sourceId)
    this.compiled.set(sourceId, manifest)
    return { manifest }
  }

  async pageIn({ artifact }: Manifest): Promise<void> {
    this.log.push(`page ${artifact}`)
    await this.pageIns.pass(artifact)
  }

  hold(artifact: string): () => void {
    let isHeld = true
    this.#holds.set(artifact, (this.#holds.get(artifact) ?? 0) + 1)
    return () => {
      assert.ok(isHeld, `${artifact} is let go twice`)
      isHeld = false
      const left = (this.#holds.get(artifact) ?? 0) - 1
      if (left === 0) this.#holds.delete(artifact)
      else this.#holds.set(artifact, left)
    }
  }

  /** Artifacts that disk eviction must keep away from. */
  get held(): readonly string[] {
    return [...this.#holds.keys()].toSorted()
  }

  async checkFiles({ artifact }: Manifest): Promise<boolean> {
    await this.checks.pass(artifact)
    if (!this.damaged.delete(artifact)) return true
    for (const [sourceId, manifest] of this.compiled) if (manifest.artifact === artifact) this.compiled.delete(sourceId)
    return false
  }

  /** Digests files; what is damaged is taken away. */
  async verify(artifact: string): Promise<readonly string[]> {
    this.log.push(`verify ${artifact}`)
    await this.verifies.pass(artifact)
    const manifest = [...this.compiled.values()].find((one) => one.artifact === artifact)
    return manifest === undefined || (await this.checkFiles(manifest)) ? [] : [manifest.file]
  }

  fileOf({ file }: Manifest): string {
    return file
  }

  inspect(): Promise<Signature> {
    return Promise.resolve({ inputs: [], outputs: [] })
  }

  #recipe(sourceId: string): Manifest {
    const manifest = this.recipes.get(sourceId)
    assert.ok(manifest, `no recipe for ${sourceId}`)
    return manifest
  }
}
