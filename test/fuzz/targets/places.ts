/**
 * Where a registry says that artifacts lie: whatever it says, what comes of it lies below what is allowed.
 *
 *   input = the URI
 */
import type { ArtifactRules } from '../../../src/domain/artifact-place.ts'
import { artifactPlaceOf, isAllowedUrl, PlaceRefusedError } from '../../../src/domain/artifact-place.ts'
import { mutateBytes } from '../mutate-bytes.ts'
import { demand, type FuzzTarget } from '../target.ts'

const RULES: ArtifactRules = {
  server: 'https://mlflow.example:5000/base',
  allowed: ['s3://models/team-a', 'file:///srv/mlruns', 'https://*.store.example'],
}
const SEEDS = [
  'mlflow-artifacts:/1/models/m-0/artifacts',
  'mlflow-artifacts://mlflow.example:5000/1/run/artifacts/model',
  'https://mlflow.example:5000/base/api/2.0/mlflow-artifacts/artifacts/1/run',
  's3://models/team-a/7/model',
  'file:///srv/mlruns/0/run/artifacts',
  'https://a.store.example/bucket/key?X-Amz-Signature=0',
  'mlflow-artifacts:/../../etc/passwd',
  's3://models/team-a/%2e%2e/team-b',
  'file:/srv/mlruns/./../..//etc\\x',
].map((uri) => Buffer.from(uri))

export const places: FuzzTarget = {
  name: 'places',
  share: 0.02,
  refusals: new Set(),

  make: (dice) => mutateBytes(dice, dice.pick(SEEDS), dice.pick(SEEDS)),

  run(input) {
    const uri = input.toString('utf8')
    if (URL.canParse(uri) && isAllowedUrl(new URL(uri), RULES)) {
      const { host } = new URL(uri)
      demand(host === 'mlflow.example:5000' || host.endsWith('.store.example'), `the host ${host}`)
    }
    try {
      const place = artifactPlaceOf(uri, RULES)
      const path =
        place.kind === 's3'
          ? `${place.bucket}/${place.prefix.slice(0, -1)}`
          : place.kind === 'file'
            ? place.dir.slice(1)
            : place.path
      demand(!path.split('/').some((part) => part === '' || part === '.' || part === '..'), `the path ${path}`)
      demand(!/[\0-\x1f\\%]/.test(path), `the path ${JSON.stringify(path)}`)
      demand(place.kind !== 's3' || `${path}/`.startsWith('models/team-a/'), `${path} in S3`)
      demand(place.kind !== 'file' || `${path}/`.startsWith('srv/mlruns/'), `the folder ${path}`)
      return place
    } catch (error) {
      if (error instanceof PlaceRefusedError) return undefined
      throw error
    }
  },
}
