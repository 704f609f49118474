import { after, describe } from 'node:test'
import { S3RegistryRig } from '../support/s3-registry-rig.ts'
import { noS3Server, S3Server } from '../support/s3-server.ts'
import { registryContract } from './registry.contract.ts'

const BUCKET = 'models'

if (noS3Server !== false) {
  describe('registry contract: s3', { skip: noS3Server }, () => {})
} else {
  const server = await S3Server.start({ buckets: [BUCKET] })
  after(() => server.stop())
  let stages = 0
  registryContract('s3', () => {
    const rig = new S3RegistryRig({ server, uri: `s3://${BUCKET}/stage-${++stages}` })
    const { registry } = rig
    return Promise.resolve({
      registry,
      publish: (name, version, content) => rig.put(`${name}/${version}/model.onnx`, content),
      retract: (name, version) => rig.remove(`${name}/${version}/model.onnx`),
      setAliases: (name, aliases) => rig.put(`${name}/aliases.json`, JSON.stringify(aliases)),
      refresh: () => rig.sweep(),
      looked: (name) => rig.looked(name),
      dispose: () => rig.close(),
    })
  })
}
