import { FetchScene } from '../support/fetch-scene.ts'
import { storeContract } from './store.contract.ts'

storeContract('remote', async () => {
  const scene = await FetchScene.set()
  return {
    store: await scene.store(),
    publish(name, _version, files) {
      const contents = Object.entries(files).map(([path, text]) => [path, Buffer.from(text)] as const)
      return Promise.resolve(scene.publish(name, Object.fromEntries(contents)))
    },
    retract: (name) => Promise.resolve(scene.server.remove(`${name}/1/model.onnx`)),
    dispose: () => scene[Symbol.asyncDispose](),
  }
})
