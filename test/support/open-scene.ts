/** Where tests of dying workers and damaged files begin. */
import type { ModelVersion } from '../../src/domain/model-version.ts'
import type { Asked, ReplicaScene, SceneOptions } from './replica-scene.ts'
import { replicaScene } from './replica-scene.ts'

/** A scene whose workers come back, with one model open. */
export async function openScene(options: SceneOptions = {}): Promise<{ scene: ReplicaScene; churn: ModelVersion }> {
  const scene = replicaScene({ respawns: true, ...options })
  const churn = scene.model('acme/churn', { probe: {}, isCompiled: true })
  await scene.answered(churn)
  return { scene, churn }
}

/** Requests that are handed over together. */
export async function together(
  scene: ReplicaScene,
  version: ModelVersion,
  bodies: readonly string[],
): Promise<Asked[]> {
  const all = bodies.map((body) => scene.ask(version, { body }))
  await scene.settle()
  return all
}
