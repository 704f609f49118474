import { digestTag } from '../../src/domain/mlflow-tags.ts'
import { MlflowRegistryRig } from '../support/mlflow-registry-rig.ts'
import { sha256Of } from '../support/object-server.ts'
import { type RegistryStage, registryContract } from './registry.contract.ts'

const CANNOT = { sizes: 'MLflow does not list the files of a version, nor their sizes' }

registryContract('mlflow', setStage, CANNOT)

function setStage(): Promise<RegistryStage> {
  const rig = new MlflowRegistryRig()
  const { registry, mlflow } = rig
  return Promise.resolve({
    registry,
    publish(name, version, content) {
      mlflow.add(name, version, { tags: new Map([[digestTag('model.onnx'), sha256Of(Buffer.from(content))]]) })
      return Promise.resolve()
    },
    retract: (name, version) => Promise.resolve(mlflow.remove(name, version)),
    setAliases: (name, aliases) => Promise.resolve(mlflow.setAliases(name, aliases)),
    refresh: () => rig.sweep(),
    looked: (name) => rig.looked(name),
    dispose: () => registry.close(),
  })
}
